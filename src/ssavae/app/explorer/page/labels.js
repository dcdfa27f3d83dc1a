// Labels given by the user: in the browser's storage until they are saved as a csv for `ssavae train --labels-from`.

const PREFIX = "ssavae-labels:";

/** Labels by item. `row[i]` is the row number of item i in training, -1 for test rows. */
export class Labels {
  given = new Map();
  #earlier = []; // what each step replaced: [item, label or undefined]
  isSaved = true; // as a file

  constructor(points, classes) {
    Object.assign(this, { row: points.row, own: points.label, classes });
    this.key = PREFIX + checksum(points);
    for (const [i, label] of recall(this.key)) this.given.set(i, label);
    this.isSaved = this.given.size === 0;
  }

  /** Give a label to items; null takes it away. */
  give(items, label) {
    this.#earlier.push(items.map((i) => [i, this.given.get(i)]));
    for (const i of items) this.#set(i, label);
    this.#changed();
  }

  #set(i, label) {
    if (label === null || label === undefined) this.given.delete(i);
    else this.given.set(i, label);
  }

  get canUndo() {
    return this.#earlier.length > 0;
  }

  undo() {
    for (const [i, label] of this.#earlier.pop() ?? []) this.#set(i, label);
    this.#changed();
  }

  forget() {
    this.give([...this.given.keys()], null);
  }

  #changed() {
    this.isSaved = this.given.size === 0;
    remember(this.key, [...this.given]);
  }

  /** Of some items, those that have a label in the data, which one given here would replace. */
  ownOf(items) {
    return items.filter((i) => this.own[i] >= 0 && this.row[i] >= 0);
  }

  /** The items of each label given, the most first: [[label, items]]. */
  list() {
    const items = new Map();
    for (const [i, label] of this.given) items.has(label) ? items.get(label).push(i) : items.set(label, [i]);
    return [...items].sort((a, b) => b[1].length - a[1].length);
  }

  /** Number of labels given, of those that training may use, and of further labels in the data itself. */
  count() {
    const usable = [...this.given.keys()].filter((i) => this.row[i] >= 0).length;
    return { given: this.given.size, usable, own: this.#ownItems().length };
  }

  // the rows that have a label in the data, and none given here
  #ownItems() {
    const items = [];
    for (let i = 0; i < this.own.length; i++) if (this.own[i] >= 0 && this.row[i] >= 0 && !this.given.has(i)) items.push(i);
    return items;
  }

  /** The csv: columns row and label, sorted by row. */
  csv(withOwn) {
    const own = withOwn ? this.#ownItems().map((i) => [i, this.classes[this.own[i]]]) : [];
    const all = new Map([...own, ...this.given]);
    const lines = [...all].map(([i, label]) => [this.row[i], label]).filter(([row]) => row >= 0);
    lines.sort((a, b) => a[0] - b[0]);
    return ["row,label", ...lines.map(([row, label]) => `${row},${cell(label)}`), ""].join("\n");
  }
}

const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

// of the rows and their labels: labels come back on the same data, whatever model shows it
function checksum({ n_all, row, label }) {
  let hash = 2166136261;
  for (const values of [row, label]) for (const value of values) hash = Math.imul(hash ^ value, 16777619);
  return `${n_all}:${row.length}:${(hash >>> 0).toString(36)}`;
}

// browsers may forbid storage, especially for files opened from disk
function recall(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "[]");
  } catch {
    return [];
  }
}

function remember(key, labels) {
  try {
    if (labels.length) localStorage.setItem(key, JSON.stringify(labels));
    else localStorage.removeItem(key);
  } catch {
    // the labels are lost when the page closes, about which it asks
  }
}
