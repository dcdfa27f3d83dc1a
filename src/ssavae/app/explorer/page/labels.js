// Labels that the reader gives, and the csv that `ssavae train --labels-from` takes.

/** Labels by item. `row[i]` is the number that training knows item i by, -1 where it may not learn from it. */
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

  /** How many were given, how many of them training may use, and how many others the data has itself. */
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
