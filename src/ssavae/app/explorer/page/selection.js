// The items of a selection: thumbnails and a table, sorted by any column, each item with its row number.

import { drawMany } from "./draw.js";
import { el, shortNumber } from "./dom.js";

const SHOWN = 60; // items at once
const SIGNALS = 12; // with their curves
const isText = (value) => typeof value === "string";

/** The number of an item as people find it again, in predictions.csv and labels.csv. */
export function numberOf(points, i) {
  return `row ${points.number[i].toLocaleString("en")}${points.row[i] < 0 ? " (test)" : ""}`;
}

/** Grid and table of items; `rowsOf(items)` returns their values, `open(item)` shows one. */
export function itemTable(items, { points, model, labels, rowsOf, open }) {
  const columns = columnsOf(points, model, labels, items);
  const host = el("div", { className: "items" });
  let [by, sign] = [0, 1];
  let newest = 0;
  const show = () => {
    const order = sorted(items, columns[by].value, sign).slice(0, SHOWN);
    const note = items.length > SHOWN ? `the first ${SHOWN} of ${items.length.toLocaleString("en")}, sorted by ${columns[by].name}` : `sorted by ${columns[by].name}`;
    const grid = el("div", {});
    host.replaceChildren(el("p", { className: "note" }, note), grid, table(order));
    if (model.kind !== "table") showGrid(grid, order);
  };
  const showGrid = async (grid, order) => {
    const mine = ++newest;
    order = order.slice(0, model.kind === "signal" ? SIGNALS : SHOWN);
    const rows = await rowsOf(order);
    if (mine !== newest) return;
    const known = order.map((i, k) => [i, rows[k]]).filter(([, row]) => row);
    grid.replaceChildren(drawMany(known.map(([, row]) => row), known.map(([i]) => numberOf(points, i)), model.kind));
    grid.querySelectorAll("canvas").forEach((canvas, k) => canvas.addEventListener("click", () => open(known[k][0])));
  };
  const sortBy = (c) => {
    sign = c === by ? -sign : 1;
    by = c;
    show();
  };
  const table = (order) => {
    const heads = columns.map(({ name }, c) => {
      const button = el("button", { type: "button", onclick: () => sortBy(c) }, name, c === by ? (sign > 0 ? " ↑" : " ↓") : "");
      return el("th", { scope: "col", "aria-sort": c !== by ? "none" : sign > 0 ? "ascending" : "descending" }, button);
    });
    const lines = order.map((i) => {
      const cells = columns.map(({ value, alarm }, c) => {
        const text = isText(value(i)) ? value(i) : shortNumber(value(i));
        const content = c === 0 ? el("button", { type: "button", className: "link", onclick: () => open(i) }, text) : text;
        return el("td", { className: `${isText(value(i)) ? "" : "number"}${alarm?.(i) ? " alarm" : ""}` }, content);
      });
      return el("tr", {}, ...cells);
    });
    return el("div", { className: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...lines)));
  };
  show();
  return host;
}

function columnsOf(points, model, labels, items) {
  const name = (c) => model.classes[c] ?? "";
  const isWrong = (i) => points.label[i] >= 0 && points.predicted[i] >= 0 && points.label[i] !== points.predicted[i];
  const columns = [{ name: "row", value: (i) => points.number[i] }];
  if (items.some((i) => points.label[i] >= 0)) columns.push({ name: "label", value: (i) => name(points.label[i]) });
  if (items.some((i) => labels.given.has(i))) columns.push({ name: "given here", value: (i) => labels.given.get(i) ?? "" });
  if (model.classes.length) {
    columns.push({ name: "prediction", value: (i) => name(points.predicted[i]), alarm: isWrong });
    columns.push({ name: "confidence", value: (i) => points.confidence[i] });
  }
  columns.push({ name: "novelty", value: (i) => points.novelty[i] });
  return columns;
}

function sorted(items, value, sign) {
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  return items.slice().sort((a, b) => sign * (isText(value(a)) ? compare(value(a), value(b)) : value(a) - value(b)) || a - b);
}

/** How many items have each class: [[name, fraction, count]], the most first. */
export function classCounts(items, classOf, names) {
  const counts = new Map();
  for (const i of items) if (classOf[i] >= 0) counts.set(classOf[i], (counts.get(classOf[i]) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([c, n]) => [names[c], n / items.length, n.toLocaleString("en")]);
}
