// Rows that are not of the map's data: the user's own, and samples.

import { byId } from "./dom.js";
import { takeFiles } from "./drop.js";
import { guarded, hideError } from "./errors.js";

const TAKES = { image: "a PNG image or .npy", table: "a csv row or .npy", signal: "an .npy or csv" };

/** New rows on a page (see main.js). */
export class Landing {
  constructor(page) {
    this.page = page;
    const { canEncode } = page.source;
    byId("landing-note").textContent = canEncode
      ? `Drop ${TAKES[page.model.kind]} anywhere on this page to see its position, class and novelty.`
      : "This exported page has no encoder: run “ssavae explore” to place your own data on the map.";
    byId("chooser").hidden = !canEncode;
    byId("file").accept = page.model.kind === "image" ? ".png,.npy" : ".csv,.npy";
    byId("sample-n").addEventListener("input", ({ target }) => (document.querySelector('output[for="sample-n"]').value = target.value));
    byId("sample").addEventListener("click", guarded(() => this.#sample()));
    if (canEncode) takeFiles(document.body, byId("file"), guarded((files) => this.#land(files)));
  }

  async #land(files) {
    hideError();
    const landed = [];
    for (const file of files) {
      const rows = await this.page.source.land(file);
      landed.push(...rows.map((row) => ({ ...row, name: rows.length > 1 ? `${file.name}, ${row.name}` : file.name })));
    }
    if (landed.length) this.#show(landed, 0);
  }

  #show(items, at) {
    const { page } = this;
    page.release();
    const marks = this.#marks(items.map(({ z }) => z));
    const star = marks.splice(at, 1).map((mark) => ({ ...mark, shape: "star" }));
    page.overlay.marks = [...marks, ...star]; // the star is drawn last
    page.map.reveal(page.overlay.marks.map(({ position }) => position));
    page.overlay.draw();
    page.panel.showLanded(items, at, (next) => this.#show(items, next));
    page.announce(`${items[at].name} predicted ${items[at].predicted}`);
  }

  #marks(codes) {
    const positions = codes.map((z) => this.page.positionOfCode(z)).filter(Boolean);
    return positions.map((position) => ({ position, shape: "dot" }));
  }

  async #sample() {
    const { page } = this;
    const name = byId("sample-class").value || null;
    const samples = await page.source.sample(Number(byId("sample-n").value), name);
    page.release();
    page.overlay.marks = this.#marks(samples.z ?? []);
    page.overlay.draw();
    page.panel.showSamples(samples, name);
  }
}
