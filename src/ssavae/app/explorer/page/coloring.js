// Colourings of the points: by class (label, prediction, or a column of text), by right or wrong, or by number.

import { quantile } from "./arrays.js";
import { classColors } from "./palette.js";

const MOST_GROUPS = 101; // further words are coloured as "other"
const naturally = new Intl.Collator("en", { numeric: true }).compare; // IDV(2) before IDV(10)

/** The available colourings, as [key, text] for a menu. */
export function choices(model, points) {
  const own = [];
  const labelled = points.label.some((label) => label >= 0);
  if (labelled) own.push(["label", "class"]);
  if (model.classes.length) own.push(["predicted", "prediction"], ["confidence", "confidence"]);
  if (labelled && model.classes.length) own.push(["right", "right or wrong"]);
  own.push(["novelty", "novelty"], ["given", "labels given here"]);
  const columns = [...(model.columns ?? []).map((column) => column.name), ...(model.extra_columns ?? [])];
  return [...own, ...columns.map((name) => [`column ${name}`, name])];
}

/** Return the colouring of a key: {names, index, colors, none} of groups, or {values, low, high} of numbers. */
export async function coloringBy(key, { source, model, points, labels, dark }) {
  if (key === "label" || key === "predicted") return byGroups(model.classes, points[key], dark);
  if (key === "right") return byRight(points, dark);
  if (key === "given") return byGiven(model, points, labels, dark);
  if (key === "confidence" || key === "novelty") return byNumbers(points[key]);
  const values = await source.column(key.slice("column ".length));
  return Array.isArray(values) ? byWords(values, dark) : byNumbers(values);
}

/** The indices of names in natural order: 2 before 10. */
export function naturalOrder(names) {
  return names.map((_, c) => c).sort((a, b) => naturally(names[a], names[b]));
}

/** Name and median position of each group, if there are more groups than colours, the largest first: [{position, text}]. */
export function groupNames({ names, index }, points, hidden) {
  if (!names || names.length <= 10) return [];
  const items = names.map(() => []);
  index.forEach((c, i) => c >= 0 && items[c].push(i));
  const middle = (values, of) => quantile(of.map((i) => values[i]), 0.5);
  const shown = items.map((of, c) => ({ of, c, text: names[c] })).filter(({ of, c }) => of.length && !hidden.has(c));
  shown.sort((a, b) => b.of.length - a.of.length);
  return shown.map(({ of, text }) => ({ position: [middle(points.x, of), middle(points.y, of)], text }));
}

function byGroups(names, index, dark, none = "unlabelled") {
  return { names, index, none, colors: classColors(names.length, dark) };
}

function byRight({ label, predicted }, dark) {
  const index = Int32Array.from(label, (c, i) => (c < 0 ? -1 : Number(c !== predicted[i])));
  const [right, , , , , wrong] = classColors(10, dark);
  return { names: ["right", "wrong"], index, none: "unlabelled", colors: [right, wrong] };
}

// a word that is a class has the colour of that class
function byGiven({ classes }, points, labels, dark) {
  const words = [...new Set(labels.given.values())].filter((word) => !classes.includes(word)).sort(naturally);
  const names = [...classes, ...words];
  const indexOf = new Map(names.map((name, c) => [name, c]));
  const index = Int32Array.from(points.x, (_, i) => indexOf.get(labels.given.get(i)) ?? -1);
  return byGroups(names, index, dark, "none given");
}

function byWords(words, dark) {
  const counts = new Map();
  for (const word of words) if (word !== "") counts.set(word, (counts.get(word) ?? 0) + 1);
  const byCount = [...counts].sort((a, b) => b[1] - a[1]).map(([word]) => word);
  const names = byCount.slice(0, MOST_GROUPS).sort(naturally);
  if (byCount.length > MOST_GROUPS) names.push("other");
  const indexOf = new Map(names.map((name, c) => [name, c]));
  const other = names.length - 1;
  const index = Int32Array.from(words, (word) => (word === "" ? -1 : (indexOf.get(word) ?? other)));
  return byGroups(names, index, dark, "missing");
}

// quantiles, since with minimum and maximum a few outliers would leave one colour to all others
function byNumbers(values) {
  const [low, high] = [quantile(values, 0.01), quantile(values, 0.99)];
  const n_missing = values.reduce((n, value) => n + !Number.isFinite(value), 0);
  return { values, low, high: high > low ? high : low + 1, n_missing };
}
