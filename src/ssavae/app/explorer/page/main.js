// The page: loads the model and its points, and connects map, legend, panel and tools.

import { readAddress, writeAddress } from "./address.js";
import { RequestError, Server, takeToken } from "./api.js";
import { choices, coloringBy, groupNames } from "./coloring.js";
import { byId, el, save, saveText, shortNumber } from "./dom.js";
import { takeFiles } from "./drop.js";
import { guarded, hideError, noteAnswer } from "./errors.js";
import { ExportedPage } from "./exported.js";
import { followKeys, followPointer } from "./gestures.js";
import { Labels } from "./labels.js";
import { Legend } from "./legend.js";
import { LatentMap } from "./map.js";
import { newestOnly } from "./newest.js";
import { Overlay } from "./overlay.js";
import { Panel } from "./panel.js";
import { codeOf, positionOf, interpolate } from "./plane.js";
import { pathControls } from "./play.js";
import { followTheme, isDark } from "./theme.js";
import { isTrusted } from "./trust.js";

const FRAMES = 32; // of a path
const CACHED_ITEMS = 300;

/** The page of one model. */
class Explorer {
  #selected = null; // items
  #path = null;
  #answers = new Map();

  constructor(source, model) {
    this.source = source;
    this.model = model;
    this.panel = new Panel(byId("panel"), model, () => this.release());
    this.map = new LatentMap(byId("map"), () => this.#drawn());
    this.overlay = new Overlay(byId("overlay"), this.map);
    this.legend = new Legend(
      { list: byId("legend"), scale: byId("scale"), search: byId("class-filter"), all: byId("class-all") },
      guarded(() => this.redraw()),
    );
    this.request = newestOnly(guarded((job) => this.answer(job)));
  }

  async start() {
    this.panel.showHint();
    const state = readAddress();
    this.colorKey = state.color;
    await this.showPlane(this.model.latent_dim > 2 ? null : { x: 0, y: 1 });
    this.#describe();
    this.#fillControls();
    this.#listen();
    this.#showLabels();
    this.#restore(state);
  }

  #restore({ view, item, lasso }) {
    if (view) this.map.look(view);
    if (item < this.points.n) this.showItem(item);
    if (lasso) guarded(() => this.#selectWithin(lasso))();
  }

  #drawn() {
    this.overlay.drawNow();
    if (this.address || this.map.isMoved) this.#note({});
  }

  // in the address, from the first thing that the user does
  #note(change) {
    this.address = { ...this.address, ...change };
    const { center, unit } = this.map;
    writeAddress({ color: this.colorKey, view: { center, unit }, ...this.address });
  }

  #describe() {
    const { model, points } = this;
    document.title = `${model.name} · ssavae explorer`;
    byId("name").textContent = model.name;
    const [n, all] = [points.n, points.n_all].map((each) => each.toLocaleString("en"));
    const rows = `${n === all ? n : `${n} of ${all}`} ${{ image: "images", signal: "signals", table: "rows" }[model.kind]}`;
    const classes = model.classes.length ? `${model.classes.length} classes` : "no classes";
    const version = el("span", { id: "version" }, ` · ssavae ${model.version}`);
    byId("facts").replaceChildren([rows, classes, `${model.latent_dim} dimensions`].join(" · "), version);
  }

  // ------------------------------------------------------------------------------- the map

  /** Show a plane of the latent space: {x, y}, or null for the first two principal components. */
  async showPlane(axes) {
    this.axes = axes;
    this.points = await this.source.points(axes);
    this.labels ??= new Labels(this.points, this.model.classes);
    this.map.setPoints(this.points.x, this.points.y, this.#axisTitles());
    Object.assign(this.overlay, { probe: null, ring: null, path: null, marks: [] });
    this.trust = null;
    const keys = choices(this.model, this.points).map(([key]) => key);
    await this.recolor(keys.includes(this.colorKey) ? this.colorKey : keys[0]);
    if (this.model.has_trust) guarded(() => this.#fetchTrust())();
  }

  // separately from the points, since a whole grid is decoded for it
  async #fetchTrust() {
    const axes = this.axes;
    const trust = await this.source.trust(axes);
    if (axes !== this.axes) return;
    this.trust = trust;
    this.#hatch();
  }

  #hatch() {
    this.overlay.hatch = byId("trust").checked ? this.trust : null;
    this.overlay.draw();
  }

  #axisTitles() {
    if (this.model.latent_dim === 1) return ["code 1", "(random jitter)"];
    return this.axes ? [`code ${this.axes.x + 1}`, `code ${this.axes.y + 1}`] : ["principal component 1", "principal component 2"];
  }

  async recolor(key) {
    this.colorKey = key;
    const { source, model, points, labels } = this;
    this.coloring = await coloringBy(key, { source, model, points, labels, dark: isDark() });
    const groups = this.coloring.values ? this.#classesOfPoints() : this.coloring;
    this.legend.show(groups, this.coloring.colors ?? null, isDark());
    this.legend.showScale(this.coloring, isDark());
    await this.redraw();
  }

  // with a numeric colouring the legend still shows and hides classes
  #classesOfPoints() {
    const { points, model } = this;
    const labelled = points.label.some((label) => label >= 0);
    return { names: model.classes, index: labelled || !points.predicted ? points.label : points.predicted };
  }

  redraw() {
    const dark = isDark();
    Object.assign(this.overlay, { dark, names: groupNames(this.coloring, this.points, this.legend.hidden) });
    this.#hatch();
    this.map.draw(this.coloring, this.legend.visible(), this.#selected, dark);
  }

  mode() {
    return document.querySelector('input[name="mode"]:checked').value;
  }

  // ------------------------------------------------------------------------ looking and pinning

  /** Show the item under a pixel, else the row decoded there. */
  look(pixel, pinned = false) {
    if (this.panel.pinned && !pinned) return;
    this.panel.pinned = pinned;
    const position = this.map.toPosition(pixel);
    const item = this.map.itemAt(position);
    this.overlay.ring = item < 0 ? null : this.#positionOfItem(item);
    this.overlay.probe = item < 0 ? position : null;
    this.overlay.draw();
    this.request({ item, position, pinned });
  }

  async answer({ item, position, pinned }) {
    const show = item >= 0 ? await this.#itemAnswer(item, pinned) : await this.#positionAnswer(position, pinned);
    // something else may have been pinned in the meantime
    if (pinned || !this.panel.pinned) show();
  }

  async #itemAnswer(i, pinned) {
    const item = await this.#item(i);
    return () => {
      this.panel.showItem(item, pinned, this.#page());
      if (pinned) this.#note({ item: i, lasso: null });
      this.#announce(`Item ${i}, ${item.label === null ? "no label" : `label ${item.label}`}, predicted ${item.predicted ?? "nothing"}`);
    };
  }

  async #positionAnswer(position, pinned) {
    const [value] = await this.source.decode([codeOf(position, this.points.projection)]);
    return () => {
      this.panel.showDecoded(position, value, pinned, this.trust ? isTrusted(this.trust, position) : null);
      this.#announce(`No item here, decoded at ${position.map(shortNumber).join(", ")}`);
    };
  }

  async #item(i) {
    if (!this.#answers.has(i)) {
      if (this.#answers.size >= CACHED_ITEMS) this.#answers.delete(this.#answers.keys().next().value);
      this.#answers.set(i, await this.source.item(i));
    }
    return this.#answers.get(i);
  }

  #positionOfItem(i) {
    return [this.points.x[i], this.points.y[i]];
  }

  /** Pin an item, and move the map to it where it is out of view. */
  showItem(i) {
    this.release();
    const position = this.#positionOfItem(i);
    if (!this.map.isInside(this.map.toPixel(position))) this.map.look({ center: position, unit: this.map.unit });
    Object.assign(this.overlay, { ring: position, probe: null });
    this.overlay.draw();
    this.panel.pinned = true;
    this.request({ item: i, position, pinned: true });
  }

  #findRow(text) {
    const number = Number(text.replaceAll(/[^0-9]/g, ""));
    const item = text.trim() ? this.points.number.indexOf(number) : -1;
    if (item < 0) throw new RequestError(`There is no row ${text} on this map`);
    hideError();
    this.showItem(item);
  }

  leave() {
    if (this.panel.pinned) return;
    Object.assign(this.overlay, { probe: null, ring: null });
    this.overlay.draw();
  }

  /** Look at a pixel, releasing what is pinned. */
  moveProbe(pixel) {
    if (this.panel.pinned) this.release();
    this.look(pixel);
  }

  pin(pixel) {
    this.release();
    this.look(pixel, true);
  }

  release() {
    this.#path?.stop();
    this.#path = null;
    const selected = this.#selected !== null;
    this.#selected = null;
    Object.assign(this.overlay, { probe: null, ring: null, path: null, marks: [], lasso: null });
    this.panel.showHint();
    this.overlay.draw();
    if (selected) this.redraw();
    if (this.address) this.#note({ item: null, lasso: null });
  }

  // delayed, so that a screen reader announces where the probe stops, not every step
  #announce(text) {
    clearTimeout(this.announcing);
    this.announcing = setTimeout(() => (byId("status").textContent = text), 400);
  }

  // ------------------------------------------------------------------------------------- paths

  startPath(pixel) {
    this.release();
    const position = this.map.toPosition(pixel);
    this.overlay.path = { from: position, to: position };
    this.overlay.draw();
    this.#announce("Start of the path. Move to its end and press Enter");
  }

  previewPath(from, to) {
    this.overlay.probe = this.overlay.ring = null;
    this.overlay.path = { from: this.map.toPosition(from), to: this.map.toPosition(to) };
    this.overlay.draw();
  }

  /** Play the rows decoded between two pixels; an item at an end contributes its full code. */
  async playPath(...pixels) {
    const ends = await Promise.all(pixels.map((pixel) => this.#endOfPath(this.map.toPosition(pixel))));
    const [from, to] = ends.map((z) => positionOf(z, this.points.projection));
    const frames = await this.source.decode(interpolate(...ends, FRAMES));
    this.release();
    this.#path = pathControls(frames, this.model.kind, (fraction) => {
      this.overlay.path = { from, to, at: [0, 1].map((k) => from[k] + fraction * (to[k] - from[k])) };
      this.overlay.draw();
    });
    this.panel.showPath(this.#path.elements);
  }

  async #endOfPath(position) {
    const item = this.map.itemAt(position);
    return item < 0 ? codeOf(position, this.points.projection) : (await this.#item(item)).z;
  }

  // -------------------------------------------------------------------------- groups and labels

  async finishLasso(pixels) {
    this.overlay.lasso = null;
    await this.#selectWithin(thinned(pixels).map((pixel) => this.map.toPosition(pixel)));
  }

  async #selectWithin(polygon) {
    await this.select(this.map.itemsWithin(polygon));
    if (this.#selected) this.#note({ lasso: polygon, item: null });
  }

  async select(items) {
    this.release();
    if (!items.length) return this.#announce("No points inside");
    this.#selected = items;
    this.source.report?.({ selected: items });
    this.redraw();
    const selection = await this.source.select(items);
    this.panel.showSelection(selection, items, this.#page());
    this.#announce(`${items.length} points selected`);
  }

  // what the panel shows of items, and does with them
  #page() {
    const { points, model, labels } = this;
    const give = (label, items) => this.#label(items, label);
    return { points, model, labels, give, rowsOf: (items) => this.source.rows(items), open: (i) => this.showItem(i) };
  }

  #label(items, label) {
    this.labels.give(items, label);
    this.release();
    this.#labelsChanged();
    this.#announce(`${items.length} points labelled ${label}`);
  }

  #labelsChanged() {
    this.source.report?.({ labels: Object.fromEntries(this.labels.given) });
    this.#showLabels();
    if (this.colorKey === "given") guarded(() => this.recolor("given"))();
  }

  #showLabels() {
    const entries = this.labels.list().map(([label, items]) => {
      const button = el("button", { type: "button" }, el("span", { title: label }, label), el("span", { className: "count" }, items.length.toLocaleString("en")));
      button.addEventListener("click", guarded(() => this.select(items)));
      return el("li", {}, button);
    });
    byId("label-list").replaceChildren(...entries);
    byId("undo").disabled = !this.labels.canUndo;
    this.#countLabels();
  }

  #countLabels() {
    const { given, usable, own } = this.labels.count();
    const n_test = given - usable;
    const text = given ? `${given.toLocaleString("en")} labels given.` : "No labels given yet.";
    byId("label-count").textContent = text + (n_test ? ` ${n_test} of them are test rows, which training may not use: the file leaves them out.` : "");
    byId("own-labels-choice").hidden = own === 0;
    byId("download").disabled = usable === 0;
    byId("forget").disabled = given === 0;
  }

  // --------------------------------------------------------------------- own data and new rows

  async land(files) {
    hideError();
    const landed = [];
    for (const file of files) {
      const rows = await this.source.land(file);
      landed.push(...rows.map((row) => ({ ...row, name: rows.length > 1 ? `${file.name}, ${row.name}` : file.name })));
    }
    if (landed.length) this.#showLanded(landed, 0);
  }

  #showLanded(items, at) {
    this.release();
    const positions = items.map((item) => positionOf(item.z, this.points.projection));
    this.overlay.marks = positions.map((position, i) => ({ position, shape: i === at ? "star" : "dot" }));
    this.overlay.marks.push(...this.overlay.marks.splice(at, 1)); // draw the star last
    this.map.reveal(positions);
    this.overlay.draw();
    this.panel.showLanded(items, at, (next) => this.#showLanded(items, next));
    this.#announce(`${items[at].name} predicted ${items[at].predicted}`);
  }

  async sample() {
    const name = byId("sample-class").value || null;
    const samples = await this.source.sample(Number(byId("sample-n").value), name);
    this.release();
    this.overlay.marks = (samples.z ?? []).map((z) => ({ position: positionOf(z, this.points.projection), shape: "dot" }));
    this.overlay.draw();
    this.panel.showSamples(samples, name);
  }

  // ---------------------------------------------------------------------------------- controls

  #fillControls() {
    const { model, points } = this;
    byId("color-by").append(...choices(model, points).map(([value, text]) => el("option", { value, selected: value === this.colorKey }, text)));
    byId("sample-class").append(el("option", { value: "" }, "any"), ...model.classes.map((name) => el("option", { value: name }, name)));
    byId("trust-choice").hidden = !model.has_trust;
    byId("axes-choice").hidden = model.latent_dim <= 2 || !this.source.canEncode;
    for (const [id, chosen] of [["x-axis", 0], ["y-axis", 1]]) {
      byId(id).append(...Array.from({ length: model.latent_dim }, (_, k) => el("option", { value: k, selected: k === chosen }, `code ${k + 1}`)));
      byId(id).hidden = true;
    }
    const takes = { image: "a PNG image or .npy", table: "a csv row or .npy", signal: "an .npy or csv" }[model.kind];
    byId("landing-note").textContent = this.source.canEncode
      ? `Drop ${takes} anywhere on this page to see its position, class and novelty.`
      : "This exported page has no encoder: run “ssavae explore” to place your own data on the map.";
    byId("chooser").hidden = !this.source.canEncode;
    byId("file").accept = { image: ".png,.npy", table: ".csv,.npy", signal: ".csv,.npy" }[model.kind];
  }

  #listen() {
    const on = (id, event, act) => byId(id).addEventListener(event, guarded(act));
    on("color-by", "change", async ({ target }) => {
      await this.recolor(target.value);
      this.#note({});
    });
    on("find", "submit", (event) => {
      event.preventDefault();
      this.#findRow(byId("find-row").value);
    });
    on("save-picture", "click", () => this.#savePicture());
    on("trust", "change", () => this.#hatch());
    on("zoom-in", "click", () => this.map.zoom(0.6));
    on("zoom-out", "click", () => this.map.zoom(1 / 0.6));
    on("zoom-all", "click", () => this.map.zoomToAll());
    on("sample-n", "input", ({ target }) => (document.querySelector('output[for="sample-n"]').value = target.value));
    on("sample", "click", () => this.sample());
    on("select-shown", "click", () => this.select(this.#itemsShown()));
    on("download", "click", () => this.#saveLabels());
    on("undo", "click", () => (this.labels.undo(), this.#labelsChanged()));
    on("forget", "click", () => (this.labels.forget(), this.#labelsChanged()));
    window.addEventListener("beforeunload", (event) => this.labels.isSaved || event.preventDefault());
    for (const id of ["axes-kind", "x-axis", "y-axis"]) on(id, "change", () => this.#changeAxes());
    for (const radio of document.querySelectorAll('input[name="mode"]')) radio.addEventListener("change", () => byId("map").classList.toggle("pan", this.mode() === "pan"));
    followTheme(byId("theme"), guarded(() => this.recolor(this.colorKey)));
    this.#listenToMap();
    if (this.source.canEncode) takeFiles(document.body, byId("file"), guarded((files) => this.land(files)));
  }

  #listenToMap() {
    const act = {
      look: (pixel) => this.look(pixel),
      moveProbe: (pixel) => this.moveProbe(pixel),
      leave: () => this.leave(),
      pin: (pixel) => this.pin(pixel),
      release: () => this.release(),
      startPath: (pixel) => this.startPath(pixel),
      previewPath: (from, to) => this.previewPath(from, to),
      playPath: guarded((from, to) => this.playPath(from, to)),
      draw: (trail) => {
        this.overlay.lasso = trail;
        this.overlay.draw();
      },
      cancel: () => {
        Object.assign(this.overlay, { lasso: null, path: null });
        this.leave();
      },
      finishLasso: guarded((trail) => this.finishLasso(trail)),
    };
    followPointer(byId("map"), this.map, () => this.mode(), act);
    followKeys(byId("map"), this.map, act);
    // from anywhere on the page; the map handles Escape itself
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.panel.pinned && this.release());
    new ResizeObserver(() => this.overlay.draw()).observe(byId("canvas"));
  }

  #saveLabels() {
    saveText("labels.csv", this.labels.csv(!byId("own-labels-choice").hidden && byId("own-labels").checked));
    this.labels.isSaved = true;
  }

  #savePicture() {
    this.map.picture(byId("overlay")).toBlob((picture) => save(`${this.model.name}.png`, picture));
  }

  async #changeAxes() {
    const pair = byId("axes-kind").value === "pair";
    const [x, y] = ["x-axis", "y-axis"].map((id) => {
      byId(id).hidden = !pair;
      return Number(byId(id).value);
    });
    if (pair && x === y) return;
    this.release();
    await this.showPlane(pair ? { x, y } : null);
  }

  #itemsShown() {
    const visible = this.legend.visible();
    const items = [];
    visible.forEach((shown, i) => shown && items.push(i));
    return items;
  }
}

// few enough for an address, and as a picture the same
function thinned(trail) {
  const step = Math.ceil(trail.length / 40);
  return trail.filter((_, k) => k % step === 0 || k === trail.length - 1);
}

async function start() {
  const source = window.SSAVAE_EXPORT ? new ExportedPage(window.SSAVAE_EXPORT) : new Server(takeToken(), noteAnswer);
  await new Explorer(source, await source.model()).start();
  document.documentElement.dataset.ready = "true";
}

guarded(start)();
