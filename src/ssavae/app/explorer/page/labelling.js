// The labels' part of the page: what was given, undo, and the file for training.

import { byId, el, saveText } from "./dom.js";
import { guarded } from "./errors.js";

/** The list of labels given on a page (see main.js). */
export class Labelling {
  constructor(page) {
    this.page = page;
    const on = (id, act) => byId(id).addEventListener("click", guarded(act));
    on("select-shown", () => page.select(page.itemsShown()));
    on("download", () => this.#save());
    on("undo", () => (page.labels.undo(), this.#changed()));
    on("forget", () => (page.labels.forget(), this.#changed()));
    window.addEventListener("beforeunload", (event) => page.labels.isSaved || event.preventDefault());
  }

  give(items, label) {
    this.page.labels.give(items, label);
    this.page.release();
    this.#changed();
    this.page.announce(`${items.length} points labelled ${label}`);
  }

  #changed() {
    const { page } = this;
    page.source.report?.({ labels: Object.fromEntries(page.labels.given) });
    this.show();
    if (page.colorKey === "given") guarded(() => page.recolor("given"))();
  }

  show() {
    const { labels } = this.page;
    const entries = labels.list().map(([label, items]) => {
      const button = el("button", { type: "button" }, el("span", { title: label }, label), el("span", { className: "count" }, items.length.toLocaleString("en")));
      button.addEventListener("click", guarded(() => this.page.select(items)));
      return el("li", {}, button);
    });
    byId("label-list").replaceChildren(...entries);
    byId("undo").disabled = !labels.canUndo;
    this.#count(labels.count());
  }

  #count({ given, usable, own }) {
    const n_test = given - usable;
    const text = given ? `${given.toLocaleString("en")} labels given.` : "No labels given yet.";
    byId("label-count").textContent = text + (n_test ? ` ${n_test} of them are test rows, which training may not use: the file leaves them out.` : "");
    byId("own-labels-choice").hidden = own === 0;
    byId("download").disabled = usable === 0;
    byId("forget").disabled = given === 0;
  }

  #save() {
    const { labels } = this.page;
    saveText("labels.csv", labels.csv(!byId("own-labels-choice").hidden && byId("own-labels").checked));
    labels.isSaved = true;
  }
}
