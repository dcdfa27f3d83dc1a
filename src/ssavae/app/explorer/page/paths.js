// Ways over the map: the rows decoded between two positions are played.

import { RequestError } from "./api.js";
import { pathControls } from "./play.js";
import { codeOf, interpolate } from "./plane.js";

const FRAMES = 32;

/** The way that is drawn and played on a page (see main.js). */
export class Paths {
  #playing = null;

  constructor(page) {
    this.page = page;
  }

  start(pixel) {
    const { page } = this;
    page.release();
    const position = page.map.toPosition(pixel);
    page.overlay.path = { from: position, to: position };
    page.overlay.draw();
    page.announce("Start of the path. Move to its end and press Enter");
  }

  preview(from, to) {
    const { map, overlay } = this.page;
    overlay.probe = overlay.ring = null;
    overlay.path = { from: map.toPosition(from), to: map.toPosition(to) };
    overlay.draw();
  }

  /** Play the rows decoded between two pixels; an item at an end contributes its full code. */
  async play(...pixels) {
    const { map, overlay, panel, points, source, model } = this.page;
    const items = pixels.map((pixel) => map.itemAt(map.toPosition(pixel)));
    if (!points.projection && items.some((item) => item < 0)) throw new RequestError("On this map a way leads from one item to another");
    const ends = await Promise.all(items.map((item, k) => (item < 0 ? codeOf(map.toPosition(pixels[k]), points.projection) : this.#codeOfItem(item))));
    const [from, to] = ends.map((z, k) => this.page.positionOfCode(z) ?? this.page.positionOfItem(items[k]));
    const frames = await source.decode(interpolate(...ends, FRAMES));
    this.page.release();
    this.#playing = pathControls(frames.map(({ value }) => value), model.kind, (fraction) => {
      overlay.path = { from, to, at: [0, 1].map((k) => from[k] + fraction * (to[k] - from[k])) };
      overlay.draw();
    });
    panel.showPath(this.#playing.elements);
  }

  async #codeOfItem(item) {
    return (await this.page.looking.item(item)).z;
  }

  stop() {
    this.#playing?.stop();
    this.#playing = null;
  }
}
