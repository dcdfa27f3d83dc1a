// The map: points, axes and view; it also converts between pixels and positions and finds points.
//
// A pixel is as wide as it is high on the map: distances between codes are what they look like.

import { drawAxes } from "./axes.js";
import { el } from "./dom.js";
import { Nearest } from "./nearest.js";
import { pointColors, surroundings } from "./palette.js";
import { PointCloud } from "./webgl.js";

const MARGIN = { left: 48, right: 12, top: 12, bottom: 40 };
const REACH = 9; // pixels; the nearest point within this distance counts as pointed at
const REST = 250; // ms without a movement, after which all points are drawn
const UNGROUPED = 0.6; // opacity of points without a class, which would hide the others
const UNSELECTED = 0.12; // times the opacity of others

/** Points on a plane of the latent space. `moved` is called in each frame that is drawn. */
export class LatentMap {
  #index = null;
  #scheduled = false;
  #dark = false;
  #isMoving = false;

  constructor(host, moved) {
    Object.assign(this, { host, moved, center: [0, 0], unit: 0.01 }); // unit: of the map's axes, a pixel
    this.axes = el("canvas", { className: "axes", "aria-hidden": "true" });
    const points = el("canvas", { className: "points", "aria-hidden": "true" });
    Object.assign(points.style, { left: `${MARGIN.left}px`, top: `${MARGIN.top}px` });
    host.append(this.axes, points);
    host.map = this; // for the console, and for tests
    this.cloud = new PointCloud(points);
    this.cloud.restored = () => this.#schedule();
    new ResizeObserver(() => this.#resize()).observe(host);
  }

  /** The part of the plane in view: left, right, bottom and top. */
  get range() {
    const { width, height } = this.frame();
    const [[x, y], dx, dy] = [this.center, (this.unit * width) / 2, (this.unit * height) / 2];
    return [x - dx, x + dx, y - dy, y + dy];
  }

  // the extent in view stays the same: only its scale follows the size of the page
  #resize() {
    const { width, height } = this.frame();
    if (width < 1 || height < 1) return;
    if (this.size) this.unit *= Math.max(this.size[0] / width, this.size[1] / height);
    this.size = [width, height];
    if (this.#index) this.#drawNow();
  }

  /** Replace the points, and fit the view to them. */
  setPoints(x, y, titles) {
    Object.assign(this, { x, y, titles, visible: new Uint8Array(x.length).fill(1) });
    const xy = new Float32Array(2 * x.length);
    for (let i = 0; i < x.length; i++) {
      xy[2 * i] = x[i];
      xy[2 * i + 1] = y[i];
    }
    this.cloud.setPositions(xy);
    this.#index = new Nearest(x, y);
    this.zoomToAll();
  }

  /** Draw with a colouring (see coloring.js), the visibility of each point, and the selected points. */
  draw(coloring, visible, selected, dark) {
    this.visible = visible;
    this.#dark = dark;
    const colors = pointColors(coloring, dark);
    const chosen = selected && new Set(selected);
    const opacity = 255 * dotOpacity(this.x.length);
    for (let i = 0; i < visible.length; i++) {
      const faded = chosen && !chosen.has(i) ? UNSELECTED : coloring.index?.[i] === -1 ? UNGROUPED : 1;
      colors[4 * i + 3] = visible[i] ? Math.max(1, Math.round(opacity * faded)) : 0;
    }
    this.cloud.setColors(colors);
    this.#schedule();
  }

  /** Draw at the next frame, once for any number of changes. */
  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#drawNow();
    });
  }

  #drawNow() {
    const { width, height } = this.frame();
    Object.assign(this.cloud.canvas.style, { width: `${width}px`, height: `${height}px` });
    drawAxes(this.axes, this, this.titles, surroundings(this.#dark));
    this.cloud.draw(this.range, this.dotSize(), this.#isMoving);
    this.moved();
  }

  // all points again, once the map rests
  #move() {
    this.isMoved = true;
    if (this.cloud.thinning === 1) return;
    this.#isMoving = true;
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      this.#isMoving = false;
      this.#schedule();
    }, REST);
  }

  /** Diameter of a point in pixels: larger where there are few, or where few are in view. */
  dotSize() {
    const closer = this.whole ? Math.sqrt(this.whole / this.unit) : 1;
    const size = Math.max(2.2, Math.min(8, 26 / this.x.length ** 0.2 - 1.2));
    return Math.min(14, Math.max(size, size * Math.min(3, closer)));
  }

  zoomToAll() {
    const { width, height } = this.frame();
    const [x0, x1, y0, y1] = this.#index.extent;
    const [dx, dy] = [x1 - x0 || 1, y1 - y0 || 1];
    this.whole = Math.max((1.08 * dx) / Math.max(width, 1), (1.08 * dy) / Math.max(height, 1));
    this.look({ center: [(x0 + x1) / 2, (y0 + y1) / 2], unit: this.whole });
  }

  /** Show a view {center, unit}. */
  look({ center, unit }) {
    Object.assign(this, { center, unit });
    this.#schedule();
  }

  /** Zoom by a factor around a position; below 1 comes closer. */
  zoom(factor, position = this.center) {
    this.#move();
    const unit = Math.min(this.whole * 8, Math.max(this.whole / 1e5, this.unit * factor));
    const used = unit / this.unit;
    this.look({ unit, center: this.center.map((c, k) => position[k] + (c - position[k]) * used) });
  }

  /** Move the map by pixels. */
  move(dx, dy) {
    this.#move();
    this.look({ unit: this.unit, center: [this.center[0] - dx * this.unit, this.center[1] + dy * this.unit] });
  }

  /** Widen the view to include positions. */
  reveal(positions) {
    const [x0, x1, y0, y1] = this.range;
    const [xs, ys] = [positions.map(([x]) => x), positions.map(([, y]) => y)];
    const [left, right] = [Math.min(x0, ...xs), Math.max(x1, ...xs)];
    const [bottom, top] = [Math.min(y0, ...ys), Math.max(y1, ...ys)];
    if (left === x0 && right === x1 && bottom === y0 && top === y1) return;
    const { width, height } = this.frame();
    const unit = 1.05 * Math.max((right - left) / width, (top - bottom) / height);
    this.look({ center: [(left + right) / 2, (bottom + top) / 2], unit });
  }

  /** The rectangle that all points fill: left, right, bottom and top. */
  get extent() {
    return this.#index.extent;
  }

  middle() {
    return this.center;
  }

  /** The rectangle of the plot within the host, in pixels. */
  frame() {
    const { clientWidth, clientHeight } = this.host;
    const { left, right, top, bottom } = MARGIN;
    return { left, top, width: clientWidth - left - right, height: clientHeight - top - bottom };
  }

  toPixel([x, y]) {
    const { left, top, width, height } = this.frame();
    return [left + width / 2 + (x - this.center[0]) / this.unit, top + height / 2 - (y - this.center[1]) / this.unit];
  }

  toPosition([px, py]) {
    const { left, top, width, height } = this.frame();
    return [this.center[0] + (px - left - width / 2) * this.unit, this.center[1] - (py - top - height / 2) * this.unit];
  }

  isInside([px, py]) {
    const { left, top, width, height } = this.frame();
    return px >= left && px <= left + width && py >= top && py <= top + height;
  }

  /** The visible point under a position, -1 where there is none. */
  itemAt([x, y]) {
    return this.#index.find(x, y, REACH * this.unit, REACH * this.unit, this.visible);
  }

  /** The visible points inside a polygon of positions. */
  itemsWithin(polygon) {
    const items = [];
    for (let i = 0; i < this.x.length; i++) if (this.visible[i] && isWithin(this.x[i], this.y[i], polygon)) items.push(i);
    return items;
  }

  /** The map with what is drawn above it, as a canvas. */
  picture(above) {
    this.#drawNow();
    const ratio = window.devicePixelRatio || 1;
    const canvas = el("canvas", { width: this.axes.width, height: this.axes.height });
    const pen = canvas.getContext("2d");
    pen.fillStyle = surroundings(this.#dark).ground;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(this.axes, 0, 0);
    pen.drawImage(this.cloud.canvas, MARGIN.left * ratio, MARGIN.top * ratio);
    pen.drawImage(above, 0, 0);
    return canvas;
  }
}

const dotOpacity = (n) => Math.max(0.55, Math.min(0.9, 1.5 - 0.08 * Math.log(n)));

function isWithin(x, y, polygon) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [[xi, yi], [xj, yj]] = [polygon[i], polygon[j]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}
