// What the pointer shows: the item under it, else the row decoded there. A click pins it.

import { RequestError } from "./api.js";
import { byId, shortNumber } from "./dom.js";
import { guarded, hideError } from "./errors.js";
import { newestOnly } from "./newest.js";
import { neighbourList } from "./neighbours.js";
import { codeOf } from "./plane.js";
import { isTrusted } from "./trust.js";
import { Variation } from "./variation.js";

const CACHED_ITEMS = 300;

/** Item or place shown in the panel of a page (see main.js). */
export class Looking {
  #answers = new Map();
  #variation = null; // of what is pinned
  #request;

  constructor(page) {
    this.page = page;
    this.#request = newestOnly(guarded((job) => this.#answer(job)));
  }

  /** Show the item under a pixel, else the row decoded there, or what is pinned as it would be there. */
  look(pixel) {
    const { map, panel } = this.page;
    const position = map.toPosition(pixel);
    const item = map.itemAt(position);
    if (item < 0 && !this.page.points.projection) return this.leave();
    if (panel.pinned) this.#variation?.pass(item < 0 ? position : null);
    else this.#show(item, position, false);
  }

  #show(item, position, pinned) {
    const { panel, overlay } = this.page;
    panel.pinned = pinned;
    overlay.ring = item < 0 ? null : this.page.positionOfItem(item);
    overlay.probe = item < 0 ? position : null;
    overlay.draw();
    this.#request({ item, position, pinned });
  }

  async #answer({ item, position, pinned }) {
    const show = item >= 0 ? await this.#itemAnswer(item, pinned) : await this.#positionAnswer(position, pinned);
    // something else may have been pinned in the meantime
    if (pinned || !this.page.panel.pinned) show();
  }

  async #itemAnswer(i, pinned) {
    const { page } = this;
    const item = await this.item(i);
    return () => {
      page.panel.showItem(item, pinned, page.context(), pinned ? this.#around(item) : []);
      if (pinned) page.note({ item: i, lasso: null });
      page.announce(`Item ${i}, ${item.label === null ? "no label" : `label ${item.label}`}, predicted ${item.predicted ?? "nothing"}`);
    };
  }

  // what a pinned item is like elsewhere, and its neighbours
  #around(item) {
    const { model } = this.page;
    const variation = this.#vary(item.z, item.x_rec);
    const parts = variation ? [variation.element] : [];
    if (variation && model.map_dim < model.latent_dim && model.classes.length) {
      const strip = document.createElement("div");
      guarded(async () => strip.replaceChildren(await variation.throughClasses(item.item)))();
      parts.push(strip);
    }
    return [...parts, neighbourList(item.item, this.page.context())];
  }

  #vary(z, decoded) {
    const { model, source, points, overlay } = this.page;
    const moved = (position) => {
      overlay.probe = position;
      overlay.draw();
      if (position) announce(`As it would be at ${position.map(shortNumber).join(", ")}`);
    };
    const announce = (text) => this.page.announce(text);
    this.#variation = points.projection && Variation.isFor(model, source) ? new Variation(z, decoded, { model, source, projection: points.projection, moved }) : null;
    return this.#variation;
  }

  async #positionAnswer(position, pinned) {
    const { page } = this;
    const z = codeOf(position, page.points.projection);
    const [decoded] = await page.source.decode([z]);
    return () => {
      const variation = pinned ? this.#vary(z, decoded.value) : null;
      page.panel.showDecoded(position, decoded, pinned, page.trust ? isTrusted(page.trust, position) : null, variation ? [variation.element] : []);
      page.announce(`No item here, decoded at ${position.map(shortNumber).join(", ")}`);
    };
  }

  /** The item, from the cache where it was shown before. */
  async item(i) {
    if (!this.#answers.has(i)) {
      if (this.#answers.size >= CACHED_ITEMS) this.#answers.delete(this.#answers.keys().next().value);
      this.#answers.set(i, await this.page.source.item(i));
    }
    return this.#answers.get(i);
  }

  /** Pin an item, and move the map to it where it is out of view. */
  showItem(i) {
    const { page } = this;
    page.release();
    const position = page.positionOfItem(i);
    if (!page.map.isInside(page.map.toPixel(position))) page.map.look({ center: position, unit: page.map.unit });
    this.#show(i, position, true);
  }

  findRow(text) {
    const number = Number(text.replaceAll(/[^0-9]/g, ""));
    const item = text.trim() ? this.page.points.number.indexOf(number) : -1;
    if (item < 0) throw new RequestError(`There is no row ${text} on this map`);
    hideError();
    this.showItem(item);
  }

  leave() {
    const { panel, overlay } = this.page;
    if (panel.pinned) return this.#variation?.pass(null);
    Object.assign(overlay, { probe: null, ring: null });
    overlay.draw();
  }

  /** Look at a pixel by keyboard: what is pinned and can be elsewhere stays, other things are released. */
  moveProbe(pixel) {
    if (this.page.panel.pinned && !this.#variation) this.page.release();
    this.look(pixel);
  }

  /** Pin what is under a pixel; what is pinned and can be elsewhere is put there. */
  pin(pixel) {
    const { map } = this.page;
    const position = map.toPosition(pixel);
    const item = map.itemAt(position);
    if (item < 0 && this.#variation) return this.#variation.put(position);
    this.page.release();
    if (item >= 0 || this.page.points.projection) this.#show(item, position, true);
  }

  forget() {
    this.#variation = null;
  }
}
