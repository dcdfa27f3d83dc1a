// The page: loads the model and its points, and connects map, legend, panel and tools.

import { readAddress, writeAddress } from "./address.js";
import { Server, takeToken } from "./api.js";
import { choices, coloringBy, groupNames } from "./coloring.js";
import { contours } from "./contours.js";
import { connect } from "./controls.js";
import { byId, el } from "./dom.js";
import { guarded, noteAnswer } from "./errors.js";
import { ExportedPage } from "./exported.js";
import { FilterView } from "./filter_view.js";
import { Labelling } from "./labelling.js";
import { Labels } from "./labels.js";
import { Landing } from "./landing.js";
import { Legend } from "./legend.js";
import { Looking } from "./looking.js";
import { LatentMap } from "./map.js";
import { Overlay } from "./overlay.js";
import { Panel } from "./panel.js";
import { Paths } from "./paths.js";
import { positionOf } from "./plane.js";
import { isDark } from "./theme.js";

const SELECTED_AGAIN = 250; // ms after a filter's last change

/** The page of one model. */
class Explorer {
  #selected = null; // items that are shown as selected
  #chosen = null; // items of the selection, those that the filters hide included

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
    this.looking = new Looking(this);
    this.paths = new Paths(this);
  }

  async start() {
    const state = readAddress();
    this.colorKey = state.color;
    byId("density").checked = state.density === true;
    await this.showPlane(this.model.latent_dim > 2 ? null : { x: 0, y: 1 });
    this.#describe();
    this.filtering = new FilterView(this, () => this.#filtered());
    this.labelling = new Labelling(this);
    this.landing = new Landing(this);
    connect(this);
    this.labelling.show();
    await this.#restore(state);
  }

  async #restore({ view, item, lasso, filters, density }) {
    if (view) this.map.look(view);
    if (density) this.address = { ...this.address, density };
    if (filters) await this.filtering.restore(filters);
    if (item < this.points.n) this.looking.showItem(item);
    if (lasso) guarded(() => this.#selectWithin(lasso))();
  }

  #drawn() {
    this.overlay.drawNow();
    if (this.address || this.map.isMoved) this.note({});
  }

  /** Change the address, from the first thing that the user does. */
  note(change) {
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
    const dimensions = model.map_dim < model.latent_dim ? `${model.map_dim} + ${model.latent_dim - model.map_dim}` : model.latent_dim;
    byId("facts").replaceChildren([rows, classes, `${dimensions} dimensions`].join(" · "), version);
  }

  // ------------------------------------------------------------------------------- the map

  /** Show a plane of the latent space: {x, y}, null for the first two principal components, or its "umap". */
  async showPlane(axes) {
    this.axes = axes;
    this.points = await this.source.points(axes);
    this.labels ??= new Labels(this.points, this.model.classes);
    this.map.setPoints(this.points.x, this.points.y, this.#axisTitles());
    Object.assign(this.overlay, { probe: null, ring: null, path: null, marks: [] });
    this.panel.showHint(this.points.projection !== null);
    this.trust = null;
    const hasTrust = this.model.has_trust && this.points.projection !== null;
    byId("trust-choice").hidden = !hasTrust;
    const keys = choices(this.model, this.points).map(([key]) => key);
    await this.recolor(keys.includes(this.colorKey) ? this.colorKey : keys[0]);
    if (hasTrust) guarded(() => this.#fetchTrust())();
  }

  // separately from the points, since a whole grid is decoded for it
  async #fetchTrust() {
    const axes = this.axes;
    const trust = await this.source.trust(axes);
    if (axes !== this.axes) return;
    this.trust = trust;
    this.drawGround();
  }

  /** Draw what lies below the points' names: hatching and lines of density. */
  drawGround() {
    this.overlay.hatch = byId("trust").checked ? this.trust : null;
    const { map } = this;
    this.overlay.contours = byId("density").checked ? contours(map.x, map.y, this.visible(), map.extent) : [];
    this.overlay.draw();
  }

  #axisTitles() {
    const { latent_dim, map_dim } = this.model;
    if (this.axes === "umap") return ["UMAP 1", "UMAP 2"];
    if (latent_dim === 1) return ["code 1", "(random jitter)"];
    if (this.axes || map_dim === 2) return [`code ${(this.axes?.x ?? 0) + 1}`, `code ${(this.axes?.y ?? 1) + 1}`];
    return ["principal component 1", "principal component 2"];
  }

  async recolor(key) {
    this.colorKey = key;
    const { source, model, points, labels } = this;
    this.coloring = await coloringBy(key, { source, model, points, labels, dark: isDark() });
    const groups = this.coloring.values ? this.#classesOfPoints() : this.coloring;
    this.legend.show(groups, this.coloring.colors ?? null, isDark());
    this.legend.showScale(this.coloring, isDark());
    this.filtering?.draw();
    await this.redraw();
  }

  // with a numeric colouring the legend still shows and hides classes
  #classesOfPoints() {
    const { points, model } = this;
    const labelled = points.label.some((label) => label >= 0);
    return { names: model.classes, index: labelled || !points.predicted ? points.label : points.predicted };
  }

  /** Visibility of each point, 1 or 0: the legend shows it, and it passes the filters. */
  visible() {
    const visible = this.legend.visible();
    const filters = this.filtering?.filters;
    if (filters?.active.length) for (let i = 0; i < visible.length; i++) visible[i] &&= Number(filters.passes(i));
    return visible;
  }

  redraw() {
    const dark = isDark();
    Object.assign(this.overlay, { dark, names: groupNames(this.coloring, this.points, this.legend.hidden) });
    this.drawGround();
    this.map.draw(this.coloring, this.visible(), this.#selected, dark);
  }

  // the selection follows when the filters rest
  #filtered() {
    this.redraw();
    this.note({ filters: this.filtering.filters.toState() });
    clearTimeout(this.filteredLast);
    const chosen = this.#chosen;
    const { filters } = this.filtering;
    const again = guarded(() => chosen === this.#chosen && this.#show(chosen.filter((i) => filters.passes(i))));
    if (chosen) this.filteredLast = setTimeout(again, SELECTED_AGAIN);
  }

  // ---------------------------------------------------------------------------- the panel

  positionOfItem(i) {
    return [this.points.x[i], this.points.y[i]];
  }

  /** Where a code lies on this map; null where the map has no codes between its items. */
  positionOfCode(z) {
    return this.points.projection ? positionOf(z, this.points.projection) : null;
  }

  /** Release what is pinned or selected. */
  release() {
    this.paths.stop();
    this.looking.forget();
    const selected = this.#selected !== null;
    this.#selected = this.#chosen = null;
    Object.assign(this.overlay, { probe: null, ring: null, path: null, marks: [], lasso: null });
    this.panel.showHint(this.points.projection !== null);
    this.overlay.draw();
    if (selected) this.redraw();
    if (this.address) this.note({ item: null, lasso: null });
  }

  /** Announce to screen readers; delayed, so that they hear where the probe stops, not every step. */
  announce(text) {
    clearTimeout(this.announcing);
    this.announcing = setTimeout(() => (byId("status").textContent = text), 400);
  }

  /** What the panel shows of items, and does with them. */
  context() {
    const { points, model, labels, source } = this;
    const give = (label, items) => this.labelling.give(items, label);
    return { points, model, labels, source, give, rowsOf: (items) => source.rows(items), open: (i) => this.looking.showItem(i) };
  }

  // ---------------------------------------------------------------------------- selections

  async finishLasso(pixels) {
    this.overlay.lasso = null;
    await this.#selectWithin(thinned(pixels).map((pixel) => this.map.toPosition(pixel)));
  }

  async #selectWithin(polygon) {
    await this.select(this.map.itemsWithin(polygon));
    if (this.#selected) this.note({ lasso: polygon, item: null });
  }

  async select(items) {
    this.release();
    if (!items.length) return this.announce("No points inside");
    this.#chosen = items;
    await this.#show(items);
  }

  async #show(items) {
    this.#selected = items;
    this.source.report?.({ selected: items });
    this.redraw();
    if (!items.length) return this.panel.showNothing();
    const selection = await this.source.select(items);
    if (this.#selected !== items) return;
    this.panel.showSelection(selection, items, this.context());
    this.announce(`${items.length} points selected`);
  }

  itemsShown() {
    const items = [];
    this.visible().forEach((shown, i) => shown && items.push(i));
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
