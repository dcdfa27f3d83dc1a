// Colourings of the points: by class (label, prediction, or a column of text) or by number.

import { quantile } from "./arrays.js";
import { classColors } from "./palette.js";

const MOST_GROUPS = 101; // further words are coloured as "other"

/** The available colourings, as [key, text] for a menu. */
export function choices(model, points) {
  const own = [];
  if (points.label.some((label) => label >= 0)) own.push(["label", "class"]);
  if (model.classes.length) own.push(["predicted", "prediction"], ["confidence", "confidence"]);
  own.push(["novelty", "novelty"]);
  const columns = [...(model.columns ?? []).map((column) => column.name), ...(model.extra_columns ?? [])];
  return [...own, ...columns.map((name) => [`column ${name}`, name])];
}

/** Return the colouring of a key: {names, index, colors} of groups, or {values, low, high} of numbers. */
export async function coloringBy(key, source, model, points, dark) {
  if (key === "label" || key === "predicted") return byGroups(model.classes, points[key], dark);
  if (key === "confidence" || key === "novelty") return byNumbers(points[key]);
  const values = await source.column(key.slice("column ".length));
  return Array.isArray(values) ? byWords(values, dark) : byNumbers(values);
}

/** Number and median position of each group, if there are more groups than colours: [{position, text}]. */
export function groupNumbers({ names, index }, points, hidden) {
  if (!names || names.length <= 10) return [];
  const items = names.map(() => []);
  index.forEach((c, i) => c >= 0 && items[c].push(i));
  const middle = (values, of) => quantile(of.map((i) => values[i]), 0.5);
  const shown = items.map((of, c) => ({ of, text: String(c) })).filter(({ of, text }) => of.length && !hidden.has(Number(text)));
  return shown.map(({ of, text }) => ({ position: [middle(points.x, of), middle(points.y, of)], text }));
}

function byGroups(names, index, dark) {
  return { names, index, colors: classColors(names.length, dark) };
}

function byWords(words, dark) {
  const counts = new Map();
  for (const word of words) if (word !== "") counts.set(word, (counts.get(word) ?? 0) + 1);
  const byCount = [...counts].sort((a, b) => b[1] - a[1]).map(([word]) => word);
  const names = byCount.slice(0, MOST_GROUPS).sort();
  if (byCount.length > MOST_GROUPS) names.push("other");
  const indexOf = new Map(names.map((name, c) => [name, c]));
  const other = names.length - 1;
  const index = Int32Array.from(words, (word) => (word === "" ? -1 : (indexOf.get(word) ?? other)));
  return byGroups(names, index, dark);
}

// quantiles, since with minimum and maximum a few outliers would leave one colour to all others
function byNumbers(values) {
  const [low, high] = [quantile(values, 0.01), quantile(values, 0.99)];
  return { values, low, high: high > low ? high : low + 1 };
}
