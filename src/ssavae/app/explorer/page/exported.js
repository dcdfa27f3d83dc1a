// Data of an exported page, without a server: points, rows, and an atlas decoded over a grid of the map.
// It has the methods of `Server` in api.js; between the points of the grid it interpolates.

import { unpackGzip } from "./arrays.js";
import { RequestError } from "./api.js";
import { positionOf } from "./plane.js";

/** The content of `window.SSAVAE_EXPORT`. */
export class ExportedPage {
  #content;
  #unpacked = new Map();
  canEncode = false;
  takesCodes = false;
  neighbourKinds = ["map"];

  constructor(content) {
    this.#content = content;
  }

  /** In a notebook, tell Python what is selected and labelled. */
  report(change) {
    if (this.#content.in_notebook) window.parent.postMessage({ ssavae: change }, "*");
  }

  async model() {
    return this.#content.model;
  }

  async points() {
    const { arrays, ...rest } = this.#content.points;
    const unpacked = await Promise.all(Object.entries(arrays).map(async ([name, packed]) => [name, (await unpackGzip(packed)).data]));
    return { ...rest, ...Object.fromEntries(unpacked) };
  }

  async column(name) {
    const column = this.#content.columns[name];
    if (!column.words) return (await unpackGzip(column)).data;
    return Array.from((await unpackGzip(column.index)).data, (i) => column.words[i]);
  }

  async trust() {
    return this.#content.trust;
  }

  async item(i) {
    const points = await this.#once("points", () => this.points());
    const { classes, novelty_limit: limit } = this.#content.model;
    const position = [points.x[i], points.y[i]];
    return {
      item: i,
      label: classes[points.label[i]] ?? null,
      predicted: classes[points.predicted?.[i]] ?? null,
      probabilities: null,
      confidence: points.confidence?.[i] ?? null,
      novelty: points.novelty[i],
      is_novel: limit !== null && points.novelty[i] > limit,
      z: this.#onPlane(position),
      x: await this.#row("rows", i),
      x_rec: (await this.#row("decoded_rows", i)) ?? (await this.#atlas(position)),
    };
  }

  #onPlane([x, y]) {
    const { origin, x_axis, y_axis } = this.#content.points.projection;
    return origin.map((o, k) => o + x * x_axis[k] + y * y_axis[k]);
  }

  decode(codes) {
    const decoded = async (position) => ({ value: await this.#atlas(position), probabilities: await this.#probabilities(position) });
    return Promise.all(codes.map((z) => decoded(positionOf(z, this.#content.points.projection))));
  }

  /** The nearest items on the map. */
  async neighbours(i, n) {
    const { x, y } = await this.#once("points", () => this.points());
    const distances = Float32Array.from(x, (_, k) => Math.hypot(x[k] - x[i], y[k] - y[i]));
    const items = Array.from(distances.keys()).filter((k) => k !== i).sort((a, b) => distances[a] - distances[b] || a - b).slice(0, n);
    return { items, distances: items.map((k) => distances[k]) };
  }

  async sample(n, name) {
    const { stack, y } = this.#content.samples;
    const of = Array.from({ length: stack.n }, (_, i) => i).filter((i) => name === null || y[i] === name);
    const chosen = shuffled(of).slice(0, n);
    const rows = await this.#stack("samples", stack);
    return { x: chosen.map((i) => rowOf(rows, stack, i)), y: y && chosen.map((i) => y[i]), n_available: of.length };
  }

  /** The values of items, in their order; null for those that the page does not hold. */
  rows(items) {
    return Promise.all(items.map((i) => this.#row("rows", i)));
  }

  async select(items) {
    const points = await this.#once("points", () => this.points());
    const mean = [meanOf(points.x, items), meanOf(points.y, items)];
    const by_class = {};
    const classes = points.label.some((label) => label >= 0) ? points.label : points.predicted;
    for (const i of items) {
      const name = this.#content.model.classes[classes?.[i]] ?? "unlabelled";
      by_class[name] = (by_class[name] ?? 0) + 1;
    }
    const z_std = [standardDeviation(points.x, items), standardDeviation(points.y, items)];
    return { n: items.length, z_mean: mean, z_std, x: await this.#atlas(mean), x_spread: await this.#spread(items), by_class };
  }

  async land() {
    throw new RequestError("This exported page has no encoder. Run “ssavae explore” to place your own data on the map.");
  }

  #once(key, make) {
    if (!this.#unpacked.has(key)) this.#unpacked.set(key, make());
    return this.#unpacked.get(key);
  }

  #stack(key, stack) {
    return this.#once(key, async () => (await unpackGzip(stack.values)).data);
  }

  async #row(name, i) {
    const content = this.#content[name];
    const index = content ? Math.floor(i / content.every) : -1;
    if (!content || i % content.every || index >= content.stack.n) return null;
    return rowOf(await this.#stack(name, content.stack), content.stack, index);
  }

  // standard deviation over at most a thousand of the items' rows, as the server computes it
  async #spread(items) {
    const step = Math.ceil(items.length / 1000);
    const some = items.filter((_, k) => k % step === 0);
    const rows = (await Promise.all(some.map((i) => this.#row("rows", i)))).filter((row) => row !== null);
    if (rows.length < 2) return null;
    const of = (read) => standardDeviation(rows.map(read));
    if (this.#content.model.kind !== "table") return { data: rows[0].data.map((_, j) => of((row) => row.data[j])), shape: rows[0].shape };
    const numeric = (name) => rows.every((row) => typeof row[name] === "number");
    return Object.fromEntries(Object.keys(rows[0]).map((name) => [name, numeric(name) ? of((row) => row[name]) : null]));
  }

  async #atlas(position) {
    const { stack } = this.#content.atlas;
    return blended(await this.#stack("atlas", stack), stack, ...this.#corners(position));
  }

  async #probabilities(position) {
    const packed = this.#content.atlas.surprisal; // -16 log p
    if (!packed) return null;
    const { data, shape } = await this.#once("surprisal", () => unpackGzip(packed));
    const [corners, weights] = this.#corners(position);
    const mean = (c) => corners.reduce((sum, row, k) => sum + weights[k] * data[row * shape[1] + c], 0);
    const odds = Array.from({ length: shape[1] }, (_, c) => Math.exp(-mean(c) / 16));
    const total = odds.reduce((sum, each) => sum + each, 0);
    return odds.map((each) => each / total);
  }

  // the four grid points around a position, clamped to the grid, and their weights in a bilinear interpolation
  #corners([x, y]) {
    const { extent, side } = this.#content.atlas;
    const [column, u] = cellOf(x, extent[0], extent[1], side);
    const [row, v] = cellOf(y, extent[2], extent[3], side);
    const corner = row * side + column;
    return [[corner, corner + 1, corner + side, corner + side + 1], [(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v]];
  }
}

function cellOf(value, low, high, side) {
  const scaled = Math.max(0, Math.min(side - 1, ((value - low) / (high - low)) * (side - 1)));
  const cell = Math.min(side - 2, Math.floor(scaled));
  return [cell, scaled - cell];
}

const rowOf = (data, stack, i) => blended(data, stack, [i], [1]);

// A stack holds n rows of `width` numbers each; `stack.cells` says what they mean, see static_export.py.
function blended(data, stack, rows, weights) {
  const { width, shape, cells, kind } = stack;
  if (kind === "table") return Object.fromEntries(cells.map((cell, j) => [cell.name, cellValue(cell, rows.map((row) => data[row * width + j]), weights)]));
  const row = kind === "image" ? new Uint8ClampedArray(width) : new Float32Array(width);
  for (let j = 0; j < width; j++) {
    let sum = 0;
    for (let k = 0; k < rows.length; k++) sum += weights[k] * data[rows[k] * width + j];
    row[j] = kind === "image" ? sum : cells[j % cells.length].low + cells[j % cells.length].step * sum;
  }
  return { data: row, shape };
}

// numbers are interpolated; categories, and numbers next to a missing value, come from the nearest grid point
function cellValue(cell, values, weights) {
  const nearest = values[weights.indexOf(Math.max(...weights))];
  if (Number.isNaN(nearest)) return null;
  if (cell.values) return cell.values[nearest];
  const value = values.some(Number.isNaN) ? nearest : values.reduce((sum, each, k) => sum + weights[k] * each, 0);
  return cell.whole ? Math.round(value) : value;
}

function meanOf(values, items) {
  let sum = 0;
  for (const i of items) sum += values[i];
  return sum / items.length;
}

function standardDeviation(values, items = values.keys()) {
  const some = [...items];
  const mean = meanOf(values, some);
  return Math.sqrt(meanOf(some.map((i) => (values[i] - mean) ** 2), [...some.keys()]));
}

function shuffled(values) {
  const mixed = values.slice();
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [mixed[i], mixed[j]] = [mixed[j], mixed[i]];
  }
  return mixed;
}
