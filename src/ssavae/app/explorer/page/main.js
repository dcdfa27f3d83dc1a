// The page: asks for the model and its points, and ties map, legend, panel and tools to one another.

import { Server, takeToken } from "./api.js";
import { choices, coloringBy, groupNumbers } from "./coloring.js";
import { byId, el, saveText, shortNumber } from "./dom.js";
import { takeFiles } from "./drop.js";
import { guarded, hideError, noteAnswer } from "./errors.js";
import { Frozen } from "./frozen.js";
import { followKeys, followPointer } from "./gestures.js";
import { Labels } from "./labels.js";
import { Legend } from "./legend.js";
import { LatentMap } from "./map.js";
import { newestOnly } from "./newest.js";
import { Overlay } from "./overlay.js";
import { Panel } from "./panel.js";
import { codeOf, placeOf, wayBetween } from "./plane.js";
import { wayControls } from "./play.js";
import { followTheme, isDark } from "./theme.js";
import { isTrusted } from "./trust.js";

const FRAMES = 32; // of a way
const KEPT_ITEMS = 300; // answers about items that are not asked for again

/** One page about one model. */
class Explorer {
  #selected = null; // items
  #way = null;
  #answers = new Map();

  constructor(source, model) {
    this.source = source;
    this.model = model;
    this.panel = new Panel(byId("panel"), model, () => this.release());
    this.map = new LatentMap(byId("map"), () => this.overlay.draw());
    this.overlay = new Overlay(byId("overlay"), this.map);
    this.legend = new Legend(
      { list: byId("legend"), scale: byId("scale"), search: byId("class-filter"), all: byId("class-all") },
      guarded(() => this.redraw()),
    );
    this.ask = newestOnly(guarded((job) => this.answer(job)));
  }

  async start() {
    this.panel.showHint();
    await this.showPlane(this.model.latent_dim > 2 ? null : { x: 0, y: 1 });
    this.#describe();
    this.labels = new Labels(this.points, this.model.classes);
    this.#fillControls();
    this.#listen();
    this.#countLabels();
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

  /** Show another plane through the codes; null is the principal one. */
  async showPlane(axes) {
    this.axes = axes;
    this.points = await this.source.points(axes);
    this.map.place(this.points.x, this.points.y, this.#axisTitles());
    Object.assign(this.overlay, { probe: null, ring: null, way: null, marks: [] });
    this.trust = null;
    await this.recolor(this.colorKey ?? choices(this.model, this.points)[0][0]);
    if (this.model.has_trust) guarded(() => this.#fetchTrust())();
  }

  // a whole grid is decoded for it: the points are not made to wait
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
    if (this.model.latent_dim === 1) return ["code 1", "(height is random)"];
    return this.axes ? [`code ${this.axes.x + 1}`, `code ${this.axes.y + 1}`] : ["principal component 1", "principal component 2"];
  }

  async recolor(key) {
    this.colorKey = key;
    this.coloring = await coloringBy(key, this.source, this.model, this.points, isDark());
    const groups = this.coloring.values ? this.#classesOfPoints() : this.coloring;
    this.legend.show(groups, this.coloring.colors ?? null, isDark());
    this.legend.showScale(this.coloring, isDark());
    await this.redraw();
  }

  // beside a numeric colour the legend still shows and hides classes
  #classesOfPoints() {
    const { points, model } = this;
    const labelled = points.label.some((label) => label >= 0);
    return { names: model.classes, index: labelled || !points.predicted ? points.label : points.predicted };
  }

  async redraw() {
    const dark = isDark();
    Object.assign(this.overlay, { dark, numbers: groupNumbers(this.coloring, this.points, this.legend.hidden) });
    this.#hatch();
    await this.map.draw(this.coloring, this.legend.visible(), this.#selected, this.mode(), dark);
  }

  mode() {
    return document.querySelector('input[name="mode"]:checked').value;
  }

  // ------------------------------------------------------------------------ looking and holding

  /** Look at a pixel: the item under it, else what the model decodes there. */
  look(pixel, held = false) {
    if (this.panel.held && !held) return;
    this.panel.held = held;
    const place = this.map.toPlace(pixel);
    const item = this.map.itemAt(place);
    this.overlay.ring = item < 0 ? null : this.#placeOfItem(item);
    this.overlay.probe = item < 0 ? place : null;
    this.overlay.draw();
    this.ask({ item, place, held });
  }

  async answer({ item, place, held }) {
    const show = item >= 0 ? await this.#itemAnswer(item, held) : await this.#placeAnswer(place, held);
    // meanwhile something else may have been held
    if (held || !this.panel.held) show();
  }

  async #itemAnswer(i, held) {
    const item = await this.#item(i);
    return () => {
      this.panel.showItem(item, held);
      this.#say(`Item ${i}, ${item.label === null ? "no label" : `label ${item.label}`}, read as ${item.predicted ?? "nothing"}`);
    };
  }

  async #placeAnswer(place, held) {
    const [value] = await this.source.decode([codeOf(place, this.points.projection)]);
    return () => {
      this.panel.showPlace(place, value, held, this.trust ? isTrusted(this.trust, place) : null);
      this.#say(`Nothing there, decoded at ${place.map(shortNumber).join(", ")}`);
    };
  }

  async #item(i) {
    if (!this.#answers.has(i)) {
      if (this.#answers.size >= KEPT_ITEMS) this.#answers.delete(this.#answers.keys().next().value);
      this.#answers.set(i, await this.source.item(i));
    }
    return this.#answers.get(i);
  }

  #placeOfItem(i) {
    return [this.points.x[i], this.points.y[i]];
  }

  leave() {
    if (this.panel.held) return;
    Object.assign(this.overlay, { probe: null, ring: null });
    this.overlay.draw();
  }

  /** Look on, whatever is held. */
  roam(pixel) {
    if (this.panel.held) this.release();
    this.look(pixel);
  }

  hold(pixel) {
    this.release();
    this.look(pixel, true);
  }

  release() {
    this.#way?.stop();
    this.#way = null;
    const selected = this.#selected !== null;
    this.#selected = null;
    Object.assign(this.overlay, { probe: null, ring: null, way: null, marks: [], lasso: null });
    this.panel.showHint();
    this.overlay.draw();
    if (selected) guarded(() => this.redraw())();
  }

  // a screen reader hears where the probe came to rest, not every step
  #say(text) {
    clearTimeout(this.saying);
    this.saying = setTimeout(() => (byId("status").textContent = text), 400);
  }

  // ------------------------------------------------------------------------------------- ways

  begin(pixel) {
    this.release();
    const place = this.map.toPlace(pixel);
    this.overlay.way = { from: place, to: place };
    this.overlay.draw();
    this.#say("The way begins here. Move on and press Enter at its other end");
  }

  stretch(from, to) {
    this.overlay.probe = this.overlay.ring = null;
    this.overlay.way = { from: this.map.toPlace(from), to: this.map.toPlace(to) };
    this.overlay.draw();
  }

  /** Play what lies between two pixels; an item there is the item itself, with its whole code. */
  async go(...pixels) {
    const ends = await Promise.all(pixels.map((pixel) => this.#endOfWay(this.map.toPlace(pixel))));
    const [from, to] = ends.map((z) => placeOf(z, this.points.projection));
    const frames = await this.source.decode(wayBetween(...ends, FRAMES));
    this.release();
    this.#way = wayControls(frames, this.model.kind, (share) => {
      this.overlay.way = { from, to, at: [0, 1].map((k) => from[k] + share * (to[k] - from[k])) };
      this.overlay.draw();
    });
    this.panel.showWay(this.#way.elements);
  }

  async #endOfWay(place) {
    const item = this.map.itemAt(place);
    return item < 0 ? codeOf(place, this.points.projection) : (await this.#item(item)).z;
  }

  // -------------------------------------------------------------------------- groups and labels

  async enclose(pixels) {
    this.overlay.lasso = null;
    await this.select(this.map.itemsWithin(pixels.map((pixel) => this.map.toPlace(pixel))));
  }

  async select(items) {
    this.release();
    if (!items.length) return this.#say("No points there");
    this.#selected = items;
    await this.redraw();
    const selection = await this.source.select(items);
    this.panel.showSelection(selection, (label) => this.#label(items, label));
    this.#say(`${items.length} points selected`);
  }

  #label(items, label) {
    this.labels.give(items, label);
    this.#countLabels();
    this.release();
    this.#say(`${items.length} points labelled ${label}`);
  }

  #countLabels() {
    const { given, usable, own } = this.labels.count();
    const kept = given - usable;
    const text = given ? `${given.toLocaleString("en")} labels given.` : "No labels given yet.";
    byId("label-count").textContent = text + (kept ? ` ${kept} of them are test rows, which training may not learn from: they are left out of the file.` : "");
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
    const places = items.map((item) => placeOf(item.z, this.points.projection));
    this.overlay.marks = places.map((place, i) => ({ place, shape: i === at ? "star" : "dot" }));
    this.overlay.marks.push(...this.overlay.marks.splice(at, 1)); // the star above the others
    this.map.reveal(places);
    this.overlay.draw();
    this.panel.showLanded(items, at, (next) => this.#showLanded(items, next));
    this.#say(`${items[at].name} is read as ${items[at].predicted}`);
  }

  async sample() {
    const name = byId("sample-class").value || null;
    const samples = await this.source.sample(Number(byId("sample-n").value), name);
    this.release();
    this.overlay.marks = (samples.z ?? []).map((z) => ({ place: placeOf(z, this.points.projection), shape: "dot" }));
    this.overlay.draw();
    this.panel.showSamples(samples, name);
  }

  // ---------------------------------------------------------------------------------- controls

  #fillControls() {
    const { model, points } = this;
    byId("color-by").append(...choices(model, points).map(([value, text]) => el("option", { value }, text)));
    byId("sample-class").append(el("option", { value: "" }, "any"), ...model.classes.map((name) => el("option", { value: name }, name)));
    byId("trust-choice").hidden = !model.has_trust;
    byId("axes-choice").hidden = model.latent_dim <= 2 || !this.source.lands;
    for (const [id, chosen] of [["x-axis", 0], ["y-axis", 1]]) {
      byId(id).append(...Array.from({ length: model.latent_dim }, (_, k) => el("option", { value: k, selected: k === chosen }, `code ${k + 1}`)));
      byId(id).hidden = true;
    }
    const takes = { image: "a PNG image or .npy", table: "a csv row or .npy", signal: "an .npy or csv" }[model.kind];
    byId("landing-note").textContent = this.source.lands
      ? `Drop ${takes} anywhere on this page and see where it lands, its class and its novelty.`
      : "This page was exported and holds no encoder: start “ssavae explore” to see where your own data lands.";
    byId("chooser").hidden = !this.source.lands;
    byId("file").accept = { image: ".png,.npy", table: ".csv,.npy", signal: ".csv,.npy" }[model.kind];
  }

  #listen() {
    const on = (id, event, act) => byId(id).addEventListener(event, guarded(act));
    on("color-by", "change", ({ target }) => this.recolor(target.value));
    on("trust", "change", () => this.#hatch());
    on("zoom-in", "click", () => this.map.zoom(0.6));
    on("zoom-out", "click", () => this.map.zoom(1 / 0.6));
    on("zoom-all", "click", () => this.map.zoomToAll());
    on("sample-n", "input", ({ target }) => (document.querySelector('output[for="sample-n"]').value = target.value));
    on("sample", "click", () => this.sample());
    on("select-shown", "click", () => this.select(this.#itemsShown()));
    on("download", "click", () => saveText("labels.csv", this.labels.csv(!byId("own-labels-choice").hidden && byId("own-labels").checked)));
    on("forget", "click", () => (this.labels.forget(), this.#countLabels()));
    for (const id of ["axes-kind", "x-axis", "y-axis"]) on(id, "change", () => this.#changeAxes());
    for (const radio of document.querySelectorAll('input[name="mode"]')) radio.addEventListener("change", guarded(() => this.map.setMode(this.mode())));
    followTheme(byId("theme"), guarded(() => this.recolor(this.colorKey)));
    this.#listenToMap();
    if (this.source.lands) takeFiles(document.body, byId("file"), guarded((files) => this.land(files)));
  }

  #listenToMap() {
    const act = {
      look: (pixel) => this.look(pixel),
      roam: (pixel) => this.roam(pixel),
      leave: () => this.leave(),
      hold: (pixel) => this.hold(pixel),
      release: () => this.release(),
      begin: (pixel) => this.begin(pixel),
      stretch: (from, to) => this.stretch(from, to),
      go: guarded((from, to) => this.go(from, to)),
      draw: (trail) => {
        this.overlay.lasso = trail;
        this.overlay.draw();
      },
      enclose: guarded((trail) => this.enclose(trail)),
    };
    followPointer(byId("map"), this.map, () => this.mode(), act);
    followKeys(byId("map"), this.map, act);
    // from wherever the reader is; the map itself has its own Escape
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.panel.held && this.release());
    new ResizeObserver(() => this.overlay.draw()).observe(byId("canvas"));
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

async function start() {
  const source = window.SSAVAE_EXPORT ? new Frozen(window.SSAVAE_EXPORT) : new Server(takeToken(), noteAnswer);
  await new Explorer(source, await source.model()).start();
  document.documentElement.dataset.ready = "true";
}

guarded(start)();
