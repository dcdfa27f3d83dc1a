// The scatter plot: plotly draws axes and points (WebGL), moves and zooms; this module also converts
// between pixels and positions and finds the point under a pixel.

import { Nearest } from "./nearest.js";
import { numberScale, steppedScale, surroundings } from "./palette.js";

const MARGIN = { l: 44, r: 12, t: 12, b: 40 };
const REACH = 9; // pixels; the nearest point within this distance counts as pointed at
const CONFIG = { displayModeBar: false, scrollZoom: true, responsive: true, doubleClick: false, showTips: false };

/** Points on a plane of the latent space. `moved` is called whenever the view changes. */
export class LatentMap {
  #index = null;
  #drawn = false;

  constructor(host, moved) {
    this.host = host;
    this.moved = moved;
    this.range = [0, 1, 0, 1];
  }

  /** Replace the points, and fit the view to them. */
  setPoints(x, y, titles) {
    this.x = x;
    this.y = y;
    this.titles = titles;
    this.visible = new Uint8Array(x.length).fill(1);
    this.#index = new Nearest(x, y);
    this.range = this.#whole();
  }

  /** Draw with a colouring (see coloring.js), the visibility of each point, and the selected points. */
  async draw(coloring, visible, selected, mode, dark) {
    this.visible = visible;
    const trace = {
      type: "scattergl",
      mode: "markers",
      hoverinfo: "skip",
      ...hiddenAsGaps(this.x, this.y, visible),
      marker: { size: dotSize(this.x.length), opacity: dotOpacity(this.x.length), ...markerColors(coloring, dark) },
      selectedpoints: selected ?? undefined,
      unselected: { marker: { opacity: 0.08 } },
    };
    await Plotly.react(this.host, [trace], this.#layout(mode, dark), CONFIG);
    if (!this.#drawn) this.#listen();
    this.#drawn = true;
    this.moved();
  }

  /** Set the mode: in "pan" plotly handles dragging, else the page. */
  setMode(mode) {
    this.host.classList.toggle("look", mode !== "pan");
    return this.#drawn && Plotly.relayout(this.host, { dragmode: mode === "pan" ? "pan" : false });
  }

  #layout(mode, dark) {
    const { ground, ink, grid } = surroundings(dark);
    const axis = (title, range) => ({
      title: { text: title, standoff: 6 }, range, gridcolor: grid, zeroline: false, linecolor: grid, tickfont: { size: 11 },
    });
    const [x0, x1, y0, y1] = this.range;
    return {
      margin: MARGIN, paper_bgcolor: ground, plot_bgcolor: ground, font: { color: ink, family: "system-ui, sans-serif", size: 12 },
      xaxis: axis(this.titles[0], [x0, x1]), yaxis: axis(this.titles[1], [y0, y1]),
      dragmode: mode === "pan" ? "pan" : false, hovermode: false, showlegend: false,
    };
  }

  #listen() {
    const follow = (change) => {
      const names = ["xaxis.range[0]", "xaxis.range[1]", "yaxis.range[0]", "yaxis.range[1]"];
      this.range = names.map((name, i) => change[name] ?? change[name.slice(0, 11)]?.[i % 2] ?? this.range[i]);
      this.moved();
    };
    this.host.on("plotly_relayouting", follow);
    this.host.on("plotly_relayout", follow);
    this.host.on("plotly_afterplot", () => this.moved());
  }

  #whole() {
    const [x0, x1, y0, y1] = this.#index.extent;
    const [dx, dy] = [(x1 - x0 || 1) * 0.04, (y1 - y0 || 1) * 0.04];
    return [x0 - dx, x1 + dx, y0 - dy, y1 + dy];
  }

  zoomToAll() {
    return this.#show(this.#whole());
  }

  /** Zoom by a factor around a position. */
  zoom(factor, [x, y] = this.middle()) {
    const [x0, x1, y0, y1] = this.range;
    return this.#show([x + (x0 - x) * factor, x + (x1 - x) * factor, y + (y0 - y) * factor, y + (y1 - y) * factor]);
  }

  /** Widen the view to include positions. */
  reveal(positions) {
    const [x0, x1, y0, y1] = this.range;
    const [xs, ys] = [positions.map(([x]) => x), positions.map(([, y]) => y)];
    const range = [Math.min(x0, ...xs), Math.max(x1, ...xs), Math.min(y0, ...ys), Math.max(y1, ...ys)];
    return range.some((end, i) => end !== this.range[i]) ? this.#show(range) : null;
  }

  #show(range) {
    this.range = range;
    return Plotly.relayout(this.host, { "xaxis.range": range.slice(0, 2), "yaxis.range": range.slice(2) });
  }

  middle() {
    const [x0, x1, y0, y1] = this.range;
    return [(x0 + x1) / 2, (y0 + y1) / 2];
  }

  /** The rectangle of the plot within the host, in pixels. */
  frame() {
    const { clientWidth, clientHeight } = this.host;
    return { left: MARGIN.l, top: MARGIN.t, width: clientWidth - MARGIN.l - MARGIN.r, height: clientHeight - MARGIN.t - MARGIN.b };
  }

  toPixel([x, y]) {
    const { left, top, width, height } = this.frame();
    const [x0, x1, y0, y1] = this.range;
    return [left + ((x - x0) / (x1 - x0)) * width, top + ((y1 - y) / (y1 - y0)) * height];
  }

  toPosition([px, py]) {
    const { left, top, width, height } = this.frame();
    const [x0, x1, y0, y1] = this.range;
    return [x0 + ((px - left) / width) * (x1 - x0), y1 - ((py - top) / height) * (y1 - y0)];
  }

  isInside([px, py]) {
    const { left, top, width, height } = this.frame();
    return px >= left && px <= left + width && py >= top && py <= top + height;
  }

  /** The visible point under a position, -1 where there is none. */
  itemAt([x, y]) {
    const { width, height } = this.frame();
    const [x0, x1, y0, y1] = this.range;
    return this.#index.find(x, y, (REACH * (x1 - x0)) / width, (REACH * (y1 - y0)) / height, this.visible);
  }

  /** The visible points inside a polygon of positions. */
  itemsWithin(polygon) {
    const items = [];
    for (let i = 0; i < this.x.length; i++) if (this.visible[i] && isWithin(this.x[i], this.y[i], polygon)) items.push(i);
    return items;
  }
}

// NaN is not drawn, and the other points keep their indices
function hiddenAsGaps(x, y, visible) {
  if (!visible.includes(0)) return { x, y };
  const shown = x.slice();
  for (let i = 0; i < shown.length; i++) if (!visible[i]) shown[i] = NaN;
  return { x: shown, y };
}

function markerColors(coloring, dark) {
  if (coloring.values) {
    return { color: coloring.values, colorscale: numberScale(dark).plotly, cmin: coloring.low, cmax: coloring.high, showscale: false };
  }
  const colors = [surroundings(dark).none, ...coloring.colors]; // the first is for points without a class
  const color = Float32Array.from(coloring.index, (c) => c + 1.5);
  return { color, colorscale: steppedScale(colors), cmin: 0, cmax: colors.length, showscale: false };
}

const dotSize = (n) => Math.max(2.2, Math.min(8, 26 / n ** 0.2 - 1.2));
const dotOpacity = (n) => Math.max(0.55, Math.min(0.9, 1.5 - 0.08 * Math.log(n)));

function isWithin(x, y, polygon) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [[xi, yi], [xj, yj]] = [polygon[i], polygon[j]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}
