// What a point's colour says: a class (label, prediction, or a column of words) or a number.

import { quantile } from "./arrays.js";
import { classColors } from "./palette.js";

const MOST_GROUPS = 101; // words beyond these share the colour of "other"

/** What the points can be coloured by, as [key, text] for a menu. */
export function choices(model, points) {
  const own = [];
  if (points.label.some((label) => label >= 0)) own.push(["label", "class"]);
  if (model.classes.length) own.push(["predicted", "prediction"], ["confidence", "confidence"]);
  own.push(["novelty", "novelty"]);
  const columns = [...(model.columns ?? []).map((column) => column.name), ...(model.extra_columns ?? [])];
  return [...own, ...columns.map((name) => [`column ${name}`, name])];
}

/** Make the colouring of a key: {names, index, colors} of groups, or {values, low, high} of numbers. */
export async function coloringBy(key, source, model, points, dark) {
  if (key === "label" || key === "predicted") return byGroups(model.classes, points[key], dark);
  if (key === "confidence" || key === "novelty") return byNumbers(points[key]);
  const values = await source.column(key.slice("column ".length));
  return Array.isArray(values) ? byWords(values, dark) : byNumbers(values);
}

/** Where there are more groups than colours, each one's number and its middle: [{place, text}]. */
export function groupNumbers({ names, index }, points, hidden) {
  if (!names || names.length <= 10) return [];
  const items = names.map(() => []);
  index.forEach((c, i) => c >= 0 && items[c].push(i));
  const middle = (values, of) => quantile(of.map((i) => values[i]), 0.5);
  const shown = items.map((of, c) => ({ of, text: String(c) })).filter(({ of, text }) => of.length && !hidden.has(Number(text)));
  return shown.map(({ of, text }) => ({ place: [middle(points.x, of), middle(points.y, of)], text }));
}

function byGroups(names, index, dark) {
  return { names, index, colors: classColors(names.length, dark) };
}

function byWords(words, dark) {
  const counts = new Map();
  for (const word of words) if (word !== "") counts.set(word, (counts.get(word) ?? 0) + 1);
  const often = [...counts].sort((a, b) => b[1] - a[1]).map(([word]) => word);
  const names = often.slice(0, MOST_GROUPS).sort();
  if (often.length > MOST_GROUPS) names.push("other");
  const places = new Map(names.map((name, c) => [name, c]));
  const other = names.length - 1;
  const index = Int32Array.from(words, (word) => (word === "" ? -1 : (places.get(word) ?? other)));
  return byGroups(names, index, dark);
}

// the extremes of a few points would leave one colour to all others
function byNumbers(values) {
  const [low, high] = [quantile(values, 0.01), quantile(values, 0.99)];
  return { values, low, high: high > low ? high : low + 1 };
}
