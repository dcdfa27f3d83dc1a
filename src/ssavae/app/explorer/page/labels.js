// Labels given by the user, and the csv file for `ssavae train --labels-from`.

/** Labels by item. `row[i]` is the row number of item i in training, -1 for test rows. */
export class Labels {
  given = new Map();

  constructor(points, classes) {
    this.row = points.row;
    this.own = new Map();
    points.label.forEach((c, i) => {
      if (c >= 0) this.own.set(i, classes[c]);
    });
  }

  give(items, label) {
    for (const i of items) this.given.set(i, label);
  }

  forget() {
    this.given.clear();
  }

  /** Number of labels given, of those that training may use, and of further labels in the data itself. */
  count() {
    const usable = [...this.given.keys()].filter((i) => this.row[i] >= 0).length;
    const own = [...this.own.keys()].filter((i) => this.row[i] >= 0 && !this.given.has(i)).length;
    return { given: this.given.size, usable, own };
  }

  /** The csv: columns row and label, sorted by row. */
  csv(withOwn) {
    const all = new Map([...(withOwn ? this.own : []), ...this.given]);
    const lines = [...all].map(([i, label]) => [this.row[i], label]).filter(([row]) => row >= 0);
    lines.sort((a, b) => a[0] - b[0]);
    return ["row,label", ...lines.map(([row, label]) => `${row},${cell(label)}`), ""].join("\n");
  }
}

const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
