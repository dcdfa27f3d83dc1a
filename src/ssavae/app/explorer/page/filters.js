// Filters: points pass that lie in the range, or among the groups, of each field. A field is a colouring, see coloring.js.

export const BINS = 32; // of a histogram
const ALL = [-Infinity, Infinity];

/** Filters by field. Each counts the points by its own bins that pass all the others. */
export class Filters {
  fields = new Map(); // key: {text, coloring, bins, range, chosen}
  #n;

  constructor(n) {
    this.#n = n;
    this.failed = new Uint8Array(n); // how many filters a point fails
  }

  /** Add a field without a filter; `coloring` are its groups or numbers. */
  add(key, text, coloring) {
    const field = { text, coloring, range: ALL, chosen: new Set(), fails: new Uint8Array(this.#n) };
    field.edges = coloring.values ? edgesOf(coloring) : null;
    field.bins = coloring.values ? binsOf(coloring.values, field.edges) : coloring.index;
    this.fields.set(key, field);
  }

  remove(key) {
    this.#apply(this.fields.get(key), () => true);
    this.fields.delete(key);
  }

  /** Let pass a range [low, high] of a field's numbers; an end may be infinite. */
  setRange(key, [low, high]) {
    const field = this.fields.get(key);
    field.range = [low, high];
    const { values } = field.coloring;
    const isAll = low === -Infinity && high === Infinity; // missing numbers pass as well
    this.#apply(field, isAll ? () => true : (i) => values[i] >= low && values[i] <= high);
  }

  /** Let pass some groups of a field; none chosen is all. */
  setChosen(key, chosen) {
    const field = this.fields.get(key);
    field.chosen = new Set(chosen);
    const { index } = field.coloring;
    this.#apply(field, chosen.size === 0 ? () => true : (i) => chosen.has(index[i]));
  }

  clear() {
    for (const key of this.fields.keys()) this.isNumeric(key) ? this.setRange(key, ALL) : this.setChosen(key, new Set());
  }

  isNumeric(key) {
    return this.fields.get(key).edges !== null;
  }

  isActive(key) {
    const { range, chosen } = this.fields.get(key);
    return chosen.size > 0 || range.some(Number.isFinite);
  }

  get active() {
    return [...this.fields.keys()].filter((key) => this.isActive(key));
  }

  #apply({ fails }, passes) {
    for (let i = 0; i < this.#n; i++) {
      const now = passes(i) ? 0 : 1;
      this.failed[i] += now - fails[i];
      fails[i] = now;
    }
  }

  passes(i) {
    return this.failed[i] === 0;
  }

  /** Number of points in each bin or group that pass all other filters; {all, passing}, and how many have none. */
  counts(key) {
    const { bins, edges, fails, coloring } = this.fields.get(key);
    const length = edges ? BINS : coloring.names.length;
    const [all, passing] = [new Int32Array(length + 1), new Int32Array(length + 1)]; // the last: without a value
    for (let i = 0; i < this.#n; i++) {
      const bin = bins[i] < 0 ? length : bins[i];
      all[bin]++;
      if (this.failed[i] === fails[i]) passing[bin]++;
    }
    return { all, passing };
  }

  get n_passing() {
    return this.failed.reduce((n, fails) => n + (fails === 0), 0);
  }

  /** The filters as they stand in an address: {key: "low..high" or names}. */
  toState() {
    return this.active.map((key) => {
      const { range, chosen, coloring } = this.fields.get(key);
      const words = [...chosen].map((c) => coloring.names[c] ?? "");
      return { key, ...(this.isNumeric(key) ? { range } : { words }) };
    });
  }

  /** Set a filter of an address on a field that was added. */
  restore({ key, range, words }) {
    const { names } = this.fields.get(key).coloring;
    if (range && this.isNumeric(key)) this.setRange(key, range);
    const indices = words?.map((word) => names.indexOf(word)).filter((c, k) => c >= 0 || words[k] === "");
    if (words && !this.isNumeric(key)) this.setChosen(key, new Set(indices));
  }
}

// the first and the last bin hold what lies beyond their ends
function edgesOf({ values, low, high }) {
  const whole = values.every((value) => Number.isNaN(value) || Number.isInteger(value));
  const width = whole ? Math.max(1, Math.ceil((high - low + 1) / BINS)) : (high - low) / BINS;
  const first = whole ? low - 0.5 : low;
  return Array.from({ length: BINS + 1 }, (_, k) => first + k * width);
}

function binsOf(values, edges) {
  const width = edges[1] - edges[0];
  return Int8Array.from(values, (value) => (Number.isFinite(value) ? Math.max(0, Math.min(BINS - 1, Math.floor((value - edges[0]) / width))) : -1));
}
