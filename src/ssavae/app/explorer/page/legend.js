// Legend: colours of the classes in natural order, with buttons to show and hide them.

import { naturalOrder } from "./coloring.js";
import { el, shortNumber } from "./dom.js";
import { numberGradient, surroundings } from "./palette.js";

const SEARCHED = 15; // number of classes from which a search field is shown

/** Buttons that show and hide groups of points; index -1 is the points without one. */
export class Legend {
  hidden = new Set();
  #filter = "";

  constructor({ list, scale, search, all }, changed) {
    Object.assign(this, { list, scale, search, changed });
    search.addEventListener("input", () => {
      this.#filter = search.value.toLowerCase();
      this.#applyFilter();
    });
    all.addEventListener("click", ({ target }) => {
      if (!target.dataset.show) return;
      this.hidden = new Set(target.dataset.show === "none" ? this.groups.map(({ c }) => c) : []);
      this.#updatePressed();
      changed();
    });
  }

  /** Show groups: their names, the group index of each point, and colours or null. */
  show({ names, index, none = "unlabelled" }, colors, dark) {
    this.index = index;
    const counts = new Map();
    for (const c of index) counts.set(c, (counts.get(c) ?? 0) + 1);
    const named = naturalOrder(names).map((c) => ({ c, name: names[c], color: colors?.[c] }));
    if (counts.has(-1)) named.push({ c: -1, name: none, color: colors ? surroundings(dark).none : undefined });
    this.groups = named.map((group) => ({ ...group, n: counts.get(group.c) ?? 0 }));
    const known = new Set(this.groups.map(({ c }) => c));
    this.hidden = new Set([...this.hidden].filter((c) => known.has(c)));
    this.search.hidden = names.length < SEARCHED;
    this.list.replaceChildren(...this.groups.map((group) => this.#entry(group)));
    this.#updatePressed();
    this.#applyFilter();
  }

  #entry({ c, name, color, n }) {
    const swatch = el("span", { className: "swatch" });
    if (color) swatch.style.background = color;
    else swatch.hidden = true;
    const text = el("span", { className: "class-name", title: name }, name);
    const button = el("button", { type: "button", "data-class": c }, swatch, text, el("span", { className: "count" }, n.toLocaleString("en")));
    button.addEventListener("click", () => this.#toggle(c));
    button.addEventListener("dblclick", () => this.#isolate(c));
    button.title = "Click: show or hide. Double click: this one alone";
    return el("li", {}, button);
  }

  #toggle(c) {
    if (!this.hidden.delete(c)) this.hidden.add(c);
    this.#updatePressed();
    this.changed();
  }

  #isolate(c) {
    this.hidden = new Set(this.groups.map((group) => group.c).filter((other) => other !== c));
    this.#updatePressed();
    this.changed();
  }

  #updatePressed() {
    for (const button of this.list.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(!this.hidden.has(Number(button.dataset.class))));
    }
  }

  #applyFilter() {
    this.list.querySelectorAll("li").forEach((entry, i) => {
      entry.hidden = !this.groups[i].name.toLowerCase().includes(this.#filter);
    });
  }

  /** Visibility of each point, 1 or 0. */
  visible() {
    return Uint8Array.from(this.index, (c) => (this.hidden.has(c) ? 0 : 1));
  }

  /** Show the colour bar of a numeric colouring with its ends and gaps; hide it for others. */
  showScale({ values, low, high, n_missing }, dark) {
    this.scale.hidden = !values;
    if (!values) return;
    const bar = el("div", { className: "bar" });
    bar.style.background = numberGradient(dark);
    const ends = el("div", { className: "ends" }, el("span", {}, `≤ ${shortNumber(low)}`), el("span", {}, `≥ ${shortNumber(high)}`));
    const note = el("p", { className: "note" }, "Ends: the 1st and the 99th percentile");
    const swatch = el("span", { className: "swatch" });
    swatch.style.background = surroundings(dark).none;
    const missing = n_missing ? el("p", { className: "missing" }, swatch, `missing: ${n_missing.toLocaleString("en")}`) : null;
    this.scale.replaceChildren(...[bar, ends, note, missing].filter(Boolean));
  }
}
