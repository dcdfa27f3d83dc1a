// An item, or a place of the map, as it would be elsewhere: moved over the map, through all classes, with changed dimensions.

import { bars, probabilityBars } from "./bars.js";
import { drawThumbnail, drawValues } from "./draw.js";
import { el, shortNumber } from "./dom.js";
import { guarded } from "./errors.js";
import { newestOnly } from "./newest.js";
import { movedTo, positionOf } from "./plane.js";

const SLIDERS = 5; // of the dimensions that change rows most
const BARS = 5; // of the likeliest classes

/** A code z and what it becomes; `origin` is its row as decoded, `moved(position)` is called where it goes. */
export class Variation {
  #place = null; // position; null is its own
  #passing = null; // position under the pointer
  #changed = new Map(); // dimension: value
  #sliders = [];

  constructor(z, origin, { source, model, projection, moved }) {
    Object.assign(this, { z, origin, source, model, projection, moved });
    this.result = el("div", {});
    this.controls = el("div", { className: "sliders" });
    this.element = el("div", { className: "variation" }, el("h3", {}, "As it would be elsewhere"), this.result, this.controls);
    this.draw = newestOnly(guarded(() => this.#draw()));
    guarded(() => this.#addSliders())();
    this.#tell();
  }

  /** Whether there is more in the code than the position, so that an item stays itself elsewhere. */
  static isFor(model, source) {
    return source.takesCodes && model.latent_dim > 2;
  }

  /** Show it at a position while the pointer is there; null is back. */
  pass(position) {
    if (position === null && this.#passing === null) return;
    this.#passing = position;
    this.#update();
  }

  /** Leave it at a position. */
  put(position) {
    [this.#place, this.#passing] = [position, null];
    this.#update();
  }

  #update() {
    for (const update of this.#sliders) update();
    const position = positionOf(this.#code(), this.projection);
    this.moved(this.#isAtHome() ? null : position);
    this.draw({});
  }

  #isAtHome() {
    return this.#place === null && this.#passing === null && this.#changed.size === 0;
  }

  #code() {
    const place = this.#passing ?? this.#place;
    const z = place ? movedTo(this.z, place, this.projection) : this.z.slice();
    for (const [k, value] of this.#changed) z[k] = value;
    return z;
  }

  async #draw() {
    if (this.#isAtHome()) return this.#tell();
    const z = this.#code();
    const [{ value, probabilities }] = await this.source.decode([z]);
    const at = positionOf(z, this.projection).map((each) => each.toFixed(2)).join(", ");
    const parts = [{ title: "decoded", value: this.origin }, { title: `at ${at}`, value }];
    const lines = [drawValues(parts, this.model.kind), probabilityBars(this.model.classes, probabilities, BARS)];
    this.result.replaceChildren(...lines.filter(Boolean));
  }

  #tell() {
    this.result.replaceChildren(el("p", { className: "note" }, "Point at a free place of the map, or move a slider; a click puts it there."));
  }

  async #addSliders() {
    const dimensions = (await this.source.dimensions()).slice(0, SLIDERS);
    const reset = el("button", { type: "button", onclick: () => this.#reset() }, "Back to itself");
    this.controls.replaceChildren(...dimensions.map((each) => this.#slider(each)), reset);
  }

  #slider({ index, low, high }) {
    const { map_dim, latent_dim } = this.model;
    const name = map_dim < latent_dim ? `detail ${index - map_dim + 1}` : `code ${index + 1}`;
    const [least, most] = [Math.min(low, this.z[index]), Math.max(high, this.z[index])];
    const input = el("input", { type: "range", min: least, max: most, step: (most - least) / 100 || 1, "aria-label": name });
    const output = el("output", {});
    const update = () => {
      const value = this.#code()[index];
      input.value = value;
      output.value = shortNumber(Number(value.toFixed(2)));
    };
    input.addEventListener("input", () => {
      this.#changed.set(index, Number(input.value));
      this.#update();
    });
    this.#sliders.push(update);
    update();
    return el("label", { className: "field" }, el("span", {}, name), input, output);
  }

  #reset() {
    this.#changed.clear();
    this.put(null);
  }

  /** The strip of an item through all classes; a click puts it there. */
  async throughClasses(item) {
    const { classes, z, x } = await this.source.throughClasses(item);
    const buttons = classes.map((name, k) => {
      const picture = this.model.kind === "table" ? null : drawThumbnail(x[k], `${name}`, this.model.kind);
      const put = () => this.put(positionOf(z[k], this.projection));
      return el("button", { type: "button", title: `as ${name}`, onclick: put }, picture, el("span", {}, name));
    });
    return el("div", {}, el("h3", {}, "This item through all classes"), el("div", { className: "strip" }, ...buttons));
  }
}
