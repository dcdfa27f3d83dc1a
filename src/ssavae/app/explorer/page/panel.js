// Side panel: the item or decoded row shown, the user's own rows, selections and samples.

import { bars, probabilityBars } from "./bars.js";
import { drawMany, drawValues } from "./draw.js";
import { el, shortNumber } from "./dom.js";
import { classCounts, itemTable, numberOf } from "./selection.js";

const DECODED = "decoded";

/** The panel; `release` is called when the user closes what is pinned. */
export class Panel {
  constructor(host, model, release) {
    this.host = host;
    this.model = model;
    this.release = release;
    this.pinned = false;
  }

  #show(title, pinned, ...content) {
    this.pinned = pinned;
    const close = el("button", { type: "button", onclick: this.release, "aria-label": "Close" }, "✕");
    this.host.replaceChildren(el("div", { className: "title" }, el("h2", {}, title), pinned ? close : null), ...content.filter(Boolean));
  }

  /** What to do first; between the points of some maps nothing is decoded. */
  showHint(isDecoded) {
    const elsewhere = isDecoded ? "elsewhere the row that the model decodes at that position." : "between the points of this map there are no codes.";
    this.#show("Explore the map", false, el("p", { className: "empty" }, `Point at the map: over a point you see its row, ${elsewhere}`));
  }

  /** An item; one that is pinned can be labelled, `page` as of selection.js, with `give(label, items)`. `more` follows. */
  showItem(item, pinned, page, more) {
    const decoded = item.x ? "reconstructed" : DECODED;
    this.#show(
      `Item ${item.item.toLocaleString("en")} · ${numberOf(page.points, item.item)}`, pinned, chips(item, this.model, page.labels.given.get(item.item)),
      ...(pinned ? labelForm([item.item], page) : []),
      drawValues([{ title: "item", value: item.x }, { title: decoded, value: item.x_rec }], this.model.kind),
      item.x ? null : el("p", { className: "note" }, "This page holds the rows of some items only; shown is the row decoded at its position."),
      probabilityBars(this.model.classes, item.probabilities),
      ...more,
    );
  }

  /** What a position decodes to, and the classes there; `more` follows. */
  showDecoded(position, { value, probabilities }, pinned, trusted, more) {
    const warning = el("p", { className: "facts" }, el("span", { className: "alarm" }, "not trustworthy here"));
    const at = position.map((each) => each.toFixed(2)).join(", ");
    this.#show(
      `Decoded at ${at}`, pinned, trusted === false ? warning : null, drawValues([{ title: DECODED, value }], this.model.kind),
      probabilityBars(this.model.classes, probabilities), ...more,
    );
  }

  /** The user's own rows, one at a time. */
  showLanded(items, at, turnTo) {
    const item = items[at];
    const turn = (step, text, label) =>
      el("button", { type: "button", disabled: !items[at + step], onclick: () => turnTo(at + step), "aria-label": label }, text);
    const pages = el("p", { className: "player" }, turn(-1, "‹", "Previous row"), `${at + 1} of ${items.length}`, turn(1, "›", "Next row"));
    this.#show(
      `${item.name}: position on the map`, true, items.length > 1 ? pages : null, chips(item, this.model),
      ...item.warnings.map((text) => el("p", { className: "note" }, text)),
      drawValues([{ title: "your row", value: item.x }, { title: "reconstructed", value: item.x_rec }], this.model.kind),
      probabilityBars(this.model.classes, item.probabilities),
    );
  }

  /** A path over the map, with the controls of play.js. */
  showPath(controls) {
    this.#show("Interpolation", true, ...controls);
  }

  /** A selection: label it, its mean, its classes, its items; `page` as of selection.js, with `give(label, items)`. */
  showSelection(selection, items, page) {
    const { model } = this;
    const parts = [{ title: "decoded at their mean", value: selection.x }, { title: "standard deviation", value: selection.x_spread }];
    const groups = [["Labels", classCounts(items, page.points.label, model.classes)], ["Predictions", classCounts(items, page.points.predicted, model.classes)]];
    this.#show(
      `${selection.n.toLocaleString("en")} points selected`, true, ...labelForm(items, page),
      // the mean of signals and their spread are of different sizes: each has its own axis
      ...(model.kind === "signal" ? parts.map((part) => drawValues([part], model.kind)) : [drawValues(parts, model.kind)]),
      ...groups.map(([title, lines]) => lines.length && el("div", {}, el("h3", {}, title), bars(lines))),
      itemTable(items, page),
      codeTable(selection),
    );
  }

  /** A selection of which the filters leave nothing. */
  showNothing() {
    this.#show("0 points selected", true, el("p", { className: "empty" }, "No point of the selection passes the filters."));
  }

  showSamples({ x, y, n_available }, name) {
    const titles = x.map((_, i) => (y ? String(y[i]) : `sample ${i + 1}`));
    const note = n_available === undefined ? null : `This page holds ${n_available} samples, generated when it was exported.`;
    this.#show(name === null ? `${x.length} samples` : `${x.length} samples of ${name}`, true, drawMany(x, titles, this.model.kind), note && el("p", { className: "note" }, note));
  }
}

// gives a label to items; those of the data are replaced where the user says so
function labelForm(items, { labels, model, give }) {
  const own = labels.ownOf(items);
  const replace = el("input", { type: "checkbox", id: "replace-own", checked: true });
  const question = el("label", { className: "field" }, replace, `replace ${own.length === 1 ? "the label" : `${own.length.toLocaleString("en")} labels`} that the data has`);
  const input = el("input", { type: "text", id: "new-label", required: true, placeholder: "label", "aria-label": "Label for what is selected" });
  input.setAttribute("list", "known-classes");
  const words = [...new Set([...model.classes, ...labels.given.values()])];
  const known = el("datalist", { id: "known-classes" }, ...words.map((name) => el("option", { value: name })));
  const form = el("form", { className: "field" }, input, el("button", { type: "submit", className: "strong" }, "Give this label"), known);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const spared = new Set(replace.checked ? [] : own);
    if (input.value.trim()) give(input.value.trim(), items.filter((i) => !spared.has(i)));
  });
  return [form, own.length ? question : null];
}

function chips(item, model, given) {
  const texts = given === undefined ? [] : [[`given here: ${given}`]];
  if (item.label !== undefined && item.label !== null) texts.push([`label ${item.label}`]);
  const confidence = item.confidence ?? (item.probabilities ? Math.max(...item.probabilities) : null);
  const wrong = item.label !== undefined && item.label !== null && item.label !== item.predicted;
  if (item.predicted !== null && item.predicted !== undefined) {
    texts.push([`predicted ${item.predicted}${confidence === null ? "" : `, ${confidence.toFixed(2)}`}`, wrong]);
  }
  const limit = model.novelty_limit === null ? "" : ` (limit ${model.novelty_limit.toFixed(2)})`;
  texts.push([`${item.is_novel ? "novel: " : ""}novelty ${item.novelty.toFixed(2)}${limit}`, item.is_novel]);
  return el("p", { className: "facts" }, ...texts.map(([text, alarm]) => el("span", { className: alarm ? "alarm" : "" }, text)));
}

function codeTable({ z_mean, z_std }) {
  const lines = z_mean.slice(0, 10).map((mean, k) =>
    el("tr", {}, el("th", { scope: "row" }, `code ${k + 1}`), el("td", { className: "number" }, shortNumber(mean)), el("td", { className: "number" }, `± ${shortNumber(z_std[k])}`)),
  );
  return el("details", {}, el("summary", { className: "note" }, "Mean and standard deviation of their codes"), el("table", {}, ...lines));
}
