// The neighbours of an item: pictures, or rows of a table; a click goes there.

import { drawThumbnail } from "./draw.js";
import { el, shortNumber } from "./dom.js";
import { guarded } from "./errors.js";
import { numberOf } from "./selection.js";

const SHOWN = 12;
const KINDS = { code: "in the code", features: "in the encoder’s features", map: "on this map" };

/** The nearest items, by any of the source's kinds of distance; `page` as of selection.js. */
export function neighbourList(item, page) {
  const list = el("div", {});
  const kinds = page.source.neighbourKinds;
  const show = guarded(async (kind) => {
    const { items, distances } = await page.source.neighbours(item, SHOWN, kind);
    const rows = page.model.kind === "table" ? [] : await page.rowsOf(items);
    list.replaceChildren(rows.some(Boolean) ? pictures(items, rows, page) : lines(items, distances, page));
  });
  const menu = el("select", { "aria-label": "Neighbours by distance" }, ...kinds.map((kind) => el("option", { value: kind }, KINDS[kind])));
  menu.addEventListener("change", () => show(menu.value));
  show(kinds[0]);
  const choice = kinds.length > 1 ? menu : el("span", {}, KINDS[kinds[0]]);
  return el("div", { className: "neighbours" }, el("h3", {}, "Nearest ", choice), list);
}

function pictures(items, rows, { model, points, open }) {
  const known = items.map((i, k) => [i, rows[k]]).filter(([, row]) => row);
  const buttons = known.map(([i, row]) => {
    const title = `${numberOf(points, i)}${nameOf(model, points.label[i], ", ")}`;
    return el("button", { type: "button", title, "aria-label": title, onclick: () => open(i) }, drawThumbnail(row, title, model.kind));
  });
  return el("div", { className: "strip" }, ...buttons);
}

function lines(items, distances, { model, points, open }) {
  const head = ["row", "label", "prediction", "distance"].map((name) => el("th", { scope: "col" }, name));
  const rows = items.map((i, k) => {
    const link = el("button", { type: "button", className: "link", onclick: () => open(i) }, points.number[i].toLocaleString("en"));
    const cells = [link, nameOf(model, points.label[i]), nameOf(model, points.predicted[i]), shortNumber(distances[k])];
    return el("tr", {}, ...cells.map((cell) => el("td", {}, cell)));
  });
  return el("div", { className: "scroll items" }, el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows)));
}

const nameOf = (model, c, before = "") => (c >= 0 && model.classes[c] !== undefined ? before + model.classes[c] : "");
