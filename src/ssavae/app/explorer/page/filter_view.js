// The filters' part of the page: a histogram a field, each of the points that pass the filters of all others.

import { choices, coloringBy, naturalOrder } from "./coloring.js";
import { byId, el, shortNumber, sized } from "./dom.js";
import { guarded } from "./errors.js";
import { BINS, Filters } from "./filters.js";
import { classColors, surroundings } from "./palette.js";
import { isDark } from "./theme.js";

const AT_FIRST = ["label", "right", "novelty"]; // fields shown when the filters are opened ...
const COLUMNS_AT_FIRST = 2; // ... and so many columns
const HEIGHT = 44; // pixels of a histogram

/** Fields and their filters; `changed` is called when other points pass. */
export class FilterView {
  #parts = new Map(); // key: {element, update}
  #keys = new Set(); // of the fields shown, or on their way
  #opened = false;

  constructor({ source, model, points, labels }, changed) {
    Object.assign(this, { source, model, points, labels, changed });
    this.filters = new Filters(points.n);
    this.keys = choices(model, points).filter(([key]) => key !== "given");
    byId("filter-add").append(el("option", { value: "" }, "Add a field …"), ...this.keys.map(([value, text]) => el("option", { value }, text)));
    byId("filter-add").addEventListener("change", guarded(async ({ target }) => {
      const key = target.value;
      target.value = "";
      if (key) await this.#show(key);
    }));
    byId("filtering").addEventListener("toggle", guarded(() => byId("filtering").open && this.#open()));
    byId("filter-clear").addEventListener("click", () => {
      this.filters.clear();
      this.#changed();
    });
    this.#describe();
  }

  /** Set the filters of an address. */
  async restore(states) {
    for (const state of states.filter(({ key }) => this.keys.some(([known]) => known === key))) {
      await this.#show(state.key);
      this.filters.restore(state);
    }
    if (!this.filters.active.length) return;
    byId("filtering").open = true;
    this.#changed();
  }

  /** Draw again, in the colours of the theme. */
  draw() {
    for (const { update } of this.#parts.values()) update();
  }

  async #open() {
    if (this.#opened) return;
    this.#opened = true;
    const columns = this.keys.filter(([key]) => key.startsWith("column ")).slice(0, COLUMNS_AT_FIRST);
    for (const [key] of [...this.keys.filter(([key]) => AT_FIRST.includes(key)), ...columns]) await this.#show(key);
  }

  async #show(key) {
    if (this.#keys.has(key)) return;
    this.#keys.add(key);
    const [, text] = this.keys.find(([known]) => known === key);
    const { source, model, points, labels } = this;
    this.filters.add(key, text, await coloringBy(key, { source, model, points, labels, dark: isDark() }));
    const part = this.filters.isNumeric(key) ? this.#numeric(key) : this.#groups(key);
    const close = el("button", { type: "button", className: "link", "aria-label": `Remove ${text}`, onclick: () => this.#remove(key) }, "✕");
    const element = el("div", { className: "filter", role: "group", "aria-label": `Filter by ${text}` }, el("h3", {}, text, close), ...part.elements);
    this.#parts.set(key, { element, update: part.update });
    byId("filter-list").append(element);
    part.update();
  }

  #remove(key) {
    this.filters.remove(key);
    this.#parts.get(key).element.remove();
    this.#parts.delete(key);
    this.#keys.delete(key);
    this.#changed();
  }

  #changed() {
    this.draw();
    this.#describe();
    this.changed();
  }

  #describe() {
    const { filters, points } = this;
    const n = filters.active.length;
    byId("filter-count").textContent = n ? `${filters.n_passing.toLocaleString("en")} of ${points.n.toLocaleString("en")} points pass` : "Drag over a histogram, or press a group: the map shows the points that pass.";
    byId("filter-clear").disabled = n === 0;
  }

  // a histogram to drag over, and both ends as numbers
  #numeric(key) {
    const { filters } = this;
    const { text, edges } = filters.fields.get(key);
    const canvas = el("canvas", { className: "histogram", role: "img" });
    const ends = ["from", "to"].map((end) => el("input", { type: "number", step: "any", "aria-label": `${text} ${end}`, placeholder: end }));
    const set = (range) => {
      filters.setRange(key, range);
      this.#changed();
    };
    const read = () => ends.map(({ value }, k) => (value === "" ? [-Infinity, Infinity][k] : Number(value)));
    for (const input of ends) input.addEventListener("change", () => set(read()));
    const at = ({ clientX }) => {
      const { left, width } = canvas.getBoundingClientRect();
      return edges[0] + Math.max(0, Math.min(1, (clientX - left) / width)) * (edges[BINS] - edges[0]);
    };
    let from = null;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      from = at(event);
    });
    canvas.addEventListener("pointermove", (event) => from !== null && set(rangeOf(from, at(event), edges)));
    canvas.addEventListener("pointerup", (event) => {
      if (from === at(event)) set([-Infinity, Infinity]); // a click takes the filter away
      from = null;
    });
    const update = () => {
      const { range } = filters.fields.get(key);
      const counts = filters.counts(key);
      drawHistogram(canvas, counts, edges, range, key === "novelty" ? this.model.novelty_limit : null);
      canvas.setAttribute("aria-label", `Histogram of ${text}, ${shortNumber(edges[0])} to ${shortNumber(edges[BINS])}`);
      ends.forEach((input, k) => (input.value = Number.isFinite(range[k]) ? Number(range[k].toPrecision(6)) : ""));
    };
    const scale = el("div", { className: "ends" }, ...[edges[0], edges[BINS]].map((edge) => el("span", {}, shortNumber(Number(edge.toPrecision(4))))));
    return { elements: [canvas, scale, el("div", { className: "field" }, ...ends)], update };
  }

  // a button a group, with a bar of how many pass
  #groups(key) {
    const { filters } = this;
    const { coloring } = filters.fields.get(key);
    const list = el("ul", { className: "filter-groups" });
    const order = [...naturalOrder(coloring.names), -1];
    const toggle = (c) => {
      const chosen = new Set(filters.fields.get(key).chosen);
      if (!chosen.delete(c)) chosen.add(c);
      filters.setChosen(key, chosen);
      this.#changed();
    };
    const buttons = order.map((c) => {
      const name = coloring.names[c] ?? coloring.none ?? "none";
      const [bar, count] = [el("span", { className: "bar" }), el("span", { className: "count" })];
      const button = el("button", { type: "button", title: name, onclick: () => toggle(c) }, bar, el("span", { className: "class-name" }, name), count);
      list.append(el("li", {}, button));
      return { c, button, bar, count };
    });
    const update = () => {
      const { all, passing } = filters.counts(key);
      const { chosen } = filters.fields.get(key);
      const most = Math.max(1, ...all);
      for (const { c, button, bar, count } of buttons) {
        const n = passing.at(c);
        button.parentElement.hidden = all.at(c) === 0;
        button.setAttribute("aria-pressed", String(chosen.has(c)));
        button.classList.toggle("out", chosen.size > 0 && !chosen.has(c));
        bar.style.width = `${(100 * n) / most}%`;
        count.textContent = n.toLocaleString("en");
      }
    };
    return { elements: [list], update };
  }
}

// whole bins; the outer ones are open, since they hold what lies beyond
function rangeOf(a, b, edges) {
  const width = edges[1] - edges[0];
  const [low, high] = [Math.floor((Math.min(a, b) - edges[0]) / width), Math.ceil((Math.max(a, b) - edges[0]) / width)];
  return [low <= 0 ? -Infinity : edges[low], high >= BINS ? Infinity : edges[high]];
}

// all points pale, those that pass the other filters strong inside the range and grey outside
function drawHistogram(canvas, { all, passing }, edges, [low, high], mark) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth || 190;
  const pen = sized(canvas, width * ratio, HEIGHT * ratio);
  pen.scale(ratio, ratio);
  const colors = surroundings(isDark());
  const most = Math.max(1, ...all.subarray(0, BINS));
  const [accent] = classColors(1, isDark());
  const step = width / BINS;
  const bar = (k, n, color) => {
    const height = n ? Math.max(1, (n / most) * (HEIGHT - 2)) : 0;
    pen.fillStyle = color;
    pen.fillRect(k * step, HEIGHT - height, Math.max(1, step - 1), height);
  };
  for (let k = 0; k < BINS; k++) {
    const isInside = edges[k + 1] > low && edges[k] < high;
    bar(k, all[k], colors.grid);
    bar(k, passing[k], isInside ? accent : colors.none);
  }
  if (mark === null || mark > edges[BINS]) return;
  pen.fillStyle = colors.strong;
  pen.fillRect(((mark - edges[0]) / (edges[BINS] - edges[0])) * width, 0, 1.5, HEIGHT);
}
