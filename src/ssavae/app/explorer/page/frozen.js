// What an exported page knows without a server: points, rows, and an atlas decoded over a grid of the map.
// It answers what api.js asks of the server; between the grid's points it interpolates.

import { unpackGzip } from "./arrays.js";
import { Refusal } from "./api.js";
import { placeOf } from "./plane.js";

/** Answer from `window.SSAVAE_EXPORT`. */
export class Frozen {
  #kept;
  #unpacked = new Map();
  lands = false;

  constructor(kept) {
    this.#kept = kept;
  }

  async model() {
    return this.#kept.model;
  }

  async points() {
    const { arrays, ...rest } = this.#kept.points;
    const unpacked = await Promise.all(Object.entries(arrays).map(async ([name, packed]) => [name, (await unpackGzip(packed)).data]));
    return { ...rest, ...Object.fromEntries(unpacked) };
  }

  async column(name) {
    const kept = this.#kept.columns[name];
    if (!kept.words) return (await unpackGzip(kept)).data;
    return Array.from((await unpackGzip(kept.index)).data, (i) => kept.words[i]);
  }

  async trust() {
    return this.#kept.trust;
  }

  async item(i) {
    const points = await this.#once("points", () => this.points());
    const { classes, novelty_limit: limit } = this.#kept.model;
    const place = [points.x[i], points.y[i]];
    return {
      item: i,
      label: classes[points.label[i]] ?? null,
      predicted: classes[points.predicted?.[i]] ?? null,
      probabilities: null,
      confidence: points.confidence?.[i] ?? null,
      novelty: points.novelty[i],
      is_novel: limit !== null && points.novelty[i] > limit,
      z: this.#onPlane(place),
      x: await this.#row("rows", i),
      x_rec: (await this.#row("decoded_rows", i)) ?? (await this.#atlas(place)),
    };
  }

  #onPlane([x, y]) {
    const { origin, x_axis, y_axis } = this.#kept.points.projection;
    return origin.map((o, k) => o + x * x_axis[k] + y * y_axis[k]);
  }

  decode(codes) {
    return Promise.all(codes.map((z) => this.#atlas(placeOf(z, this.#kept.points.projection))));
  }

  async sample(n, name) {
    const { stack, y } = this.#kept.samples;
    const of = Array.from({ length: stack.n }, (_, i) => i).filter((i) => name === null || y[i] === name);
    const chosen = shuffled(of).slice(0, n);
    const rows = await this.#stack("samples", stack);
    return { x: chosen.map((i) => rowOf(rows, stack, i)), y: y && chosen.map((i) => y[i]), n_kept: of.length };
  }

  async select(items) {
    const points = await this.#once("points", () => this.points());
    const mean = [meanOf(points.x, items), meanOf(points.y, items)];
    const by_class = {};
    const read = points.label.some((label) => label >= 0) ? points.label : points.predicted;
    for (const i of items) {
      const name = this.#kept.model.classes[read?.[i]] ?? "unlabelled";
      by_class[name] = (by_class[name] ?? 0) + 1;
    }
    const z_std = [deviationOf(points.x, items), deviationOf(points.y, items)];
    return { n: items.length, z_mean: mean, z_std, x: await this.#atlas(mean), x_spread: await this.#spread(items), by_class };
  }

  async land() {
    throw new Refusal("This page was exported: it holds no encoder. Run “ssavae explore” to see where your own data lands.");
  }

  #once(key, make) {
    if (!this.#unpacked.has(key)) this.#unpacked.set(key, make());
    return this.#unpacked.get(key);
  }

  #stack(key, stack) {
    return this.#once(key, async () => (await unpackGzip(stack.values)).data);
  }

  async #row(name, i) {
    const kept = this.#kept[name];
    const at = kept ? Math.floor(i / kept.every) : -1;
    if (!kept || i % kept.every || at >= kept.stack.n) return null;
    return rowOf(await this.#stack(name, kept.stack), kept.stack, at);
  }

  // deviation of the items' rows, of a thousand at most, as the server reckons it
  async #spread(items) {
    const step = Math.ceil(items.length / 1000);
    const some = items.filter((_, k) => k % step === 0);
    const rows = (await Promise.all(some.map((i) => this.#row("rows", i)))).filter((row) => row !== null);
    if (rows.length < 2) return null;
    const of = (read) => deviationOf(rows.map(read));
    if (this.#kept.model.kind !== "table") return { data: rows[0].data.map((_, j) => of((row) => row.data[j])), shape: rows[0].shape };
    const numeric = (name) => rows.every((row) => typeof row[name] === "number");
    return Object.fromEntries(Object.keys(rows[0]).map((name) => [name, numeric(name) ? of((row) => row[name]) : null]));
  }

  // bilinear between the four grid points around the place; at the rim, the rim's
  async #atlas([x, y]) {
    const { stack, extent, side } = this.#kept.atlas;
    const data = await this.#stack("atlas", stack);
    const [column, u] = cellOf(x, extent[0], extent[1], side);
    const [row, v] = cellOf(y, extent[2], extent[3], side);
    const corner = row * side + column;
    const corners = [corner, corner + 1, corner + side, corner + side + 1];
    return blended(data, stack, corners, [(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v]);
  }
}

function cellOf(value, low, high, side) {
  const at = Math.max(0, Math.min(side - 1, ((value - low) / (high - low)) * (side - 1)));
  const cell = Math.min(side - 2, Math.floor(at));
  return [cell, at - cell];
}

const rowOf = (data, stack, i) => blended(data, stack, [i], [1]);

// A stack holds n rows of `width` numbers each; what they mean is in `stack.cells`, see export.py.
function blended(data, stack, rows, weights) {
  const { width, shape, cells, kind } = stack;
  if (kind === "table") return Object.fromEntries(cells.map((cell, j) => [cell.name, cellValue(cell, rows.map((row) => data[row * width + j]), weights)]));
  const made = kind === "image" ? new Uint8ClampedArray(width) : new Float32Array(width);
  for (let j = 0; j < width; j++) {
    let sum = 0;
    for (let k = 0; k < rows.length; k++) sum += weights[k] * data[rows[k] * width + j];
    made[j] = kind === "image" ? sum : cells[j % cells.length].low + cells[j % cells.length].step * sum;
  }
  return { data: made, shape };
}

// numbers are interpolated; a category, or a number beside a gap, is that of the nearest grid point
function cellValue(cell, found, weights) {
  const nearest = found[weights.indexOf(Math.max(...weights))];
  if (Number.isNaN(nearest)) return null;
  if (cell.values) return cell.values[nearest];
  const value = found.some(Number.isNaN) ? nearest : found.reduce((sum, each, k) => sum + weights[k] * each, 0);
  return cell.whole ? Math.round(value) : value;
}

function meanOf(values, items) {
  let sum = 0;
  for (const i of items) sum += values[i];
  return sum / items.length;
}

function deviationOf(values, items = values.keys()) {
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
