// Drawings above the points: hatching, density, class names, the probe, paths, the user's rows and the lasso.

import { sized } from "./dom.js";
import { surroundings } from "./palette.js";
import { extentOf, trustedCells } from "./trust.js";

/** A canvas above the map; set its fields, then `draw()`. */
export class Overlay {
  probe = null; // position
  ring = null; // position of the item shown
  path = null; // {from, to, at}: positions
  marks = []; // [{position, shape: "star" | "dot"}]
  lasso = null; // pixels
  hatch = null; // {x, y, trusted}
  contours = []; // lines of contours.js
  names = []; // [{position, text}], the most important first
  dark = false;
  #scheduled = false;
  #mask = null;

  constructor(canvas, map) {
    this.canvas = canvas;
    this.map = map;
    this.pen = canvas.getContext("2d");
    this.layer = document.createElement("canvas");
  }

  /** Draw at the next frame, once for any number of calls. */
  draw() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.drawNow();
    });
  }

  drawNow() {
    const { pen, canvas } = this;
    const { clientWidth, clientHeight } = canvas;
    const ratio = window.devicePixelRatio || 1;
    sized(canvas, clientWidth * ratio, clientHeight * ratio);
    pen.save();
    pen.scale(ratio, ratio);
    const { left, top, width, height } = this.map.frame();
    pen.beginPath();
    pen.rect(left, top, width, height);
    pen.clip();
    this.colors = surroundings(this.dark);
    if (this.hatch) this.#drawHatch();
    for (const line of this.contours) this.#drawContour(line);
    this.#drawNames();
    if (this.path) this.#drawPath(this.path);
    for (const { position, shape } of this.marks) shape === "star" ? this.#drawStar(position) : this.#drawDot(position, 4);
    if (this.ring) this.#drawRing(this.ring);
    if (this.probe) this.#drawCross(this.probe);
    if (this.lasso) this.#drawLasso(this.lasso);
    pen.restore();
  }

  // the whole plot is hatched on a layer of its own, from which the trusted cells, scaled, are taken out
  #drawHatch() {
    const { left, top, width, height } = this.map.frame();
    const ratio = window.devicePixelRatio || 1;
    const pen = sized(this.layer, this.canvas.width, this.canvas.height);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    Object.assign(pen, { fillStyle: pen.createPattern(hatchTile(this.colors.hatch), "repeat"), imageSmoothingEnabled: false });
    pen.fillRect(left, top, width, height);
    pen.globalCompositeOperation = "destination-out";
    this.#mask = this.#mask?.of === this.hatch ? this.#mask : { of: this.hatch, image: trustedCells(this.hatch) };
    const [[x0, x1], [y0, y1]] = extentOf(this.hatch);
    const [[px0, py0], [px1, py1]] = [this.map.toPixel([x0, y1]), this.map.toPixel([x1, y0])];
    pen.drawImage(this.#mask.image, px0, py0, px1 - px0, py1 - py0);
    pen.globalCompositeOperation = "source-over";
    this.pen.drawImage(this.layer, 0, 0, this.canvas.width / ratio, this.canvas.height / ratio);
  }

  #drawContour(line) {
    const { pen } = this;
    pen.beginPath();
    for (let k = 0; k < line.length; k += 4) {
      pen.moveTo(...this.map.toPixel([line[k], line[k + 1]]));
      pen.lineTo(...this.map.toPixel([line[k + 2], line[k + 3]]));
    }
    for (const [lineWidth, strokeStyle] of [[3, this.colors.ground], [1.2, this.colors.strong]]) {
      Object.assign(pen, { lineWidth, strokeStyle, lineCap: "round", globalAlpha: 0.8 });
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  #stroke(width, color = this.colors.strong) {
    const { pen } = this;
    // an outline in the background colour keeps marks visible over points of any colour
    Object.assign(pen, { lineWidth: width + 3, strokeStyle: this.colors.ground, lineJoin: "round", lineCap: "round" });
    pen.stroke();
    Object.assign(pen, { lineWidth: width, strokeStyle: color });
    pen.stroke();
  }

  // each name beside its group where no other one is, with a line to it; those without room come nearer the eye
  #drawNames() {
    const { pen } = this;
    Object.assign(pen, { font: "600 12px system-ui, sans-serif", textAlign: "center", textBaseline: "middle", lineJoin: "round" });
    const names = placed(this.names, this.map, (text) => pen.measureText(text).width);
    pen.beginPath();
    for (const { at, from } of names.filter(({ at, from }) => Math.hypot(at[0] - from[0], at[1] - from[1]) > 12)) {
      pen.moveTo(...from);
      pen.lineTo(...at);
    }
    Object.assign(pen, { lineWidth: 1, strokeStyle: this.colors.strong });
    pen.stroke();
    for (const { text, at } of names) {
      Object.assign(pen, { lineWidth: 4, strokeStyle: this.colors.ground, fillStyle: this.colors.strong });
      pen.strokeText(text, ...at);
      pen.fillText(text, ...at);
    }
  }

  #drawPath({ from, to, at }) {
    this.pen.beginPath();
    this.pen.moveTo(...this.map.toPixel(from));
    this.pen.lineTo(...this.map.toPixel(to));
    this.#stroke(1.6);
    this.#drawDot(from, 3.5);
    this.#drawDot(to, 3.5);
    if (at) this.#drawRing(at);
  }

  #drawDot(position, radius) {
    this.pen.beginPath();
    this.pen.arc(...this.map.toPixel(position), radius, 0, 7);
    this.#stroke(1);
    this.pen.fillStyle = this.colors.strong;
    this.pen.fill();
  }

  #drawRing(position) {
    this.pen.beginPath();
    this.pen.arc(...this.map.toPixel(position), 8, 0, 7);
    this.#stroke(2);
  }

  #drawCross(position) {
    const [px, py] = this.map.toPixel(position);
    this.pen.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      this.pen.moveTo(px + 4 * dx, py + 4 * dy);
      this.pen.lineTo(px + 12 * dx, py + 12 * dy);
    }
    this.#stroke(1.6);
  }

  #drawStar(position) {
    const [px, py] = this.map.toPixel(position);
    this.pen.beginPath();
    for (let k = 0; k < 10; k++) {
      const [angle, radius] = [(Math.PI * k) / 5 - Math.PI / 2, k % 2 ? 4.5 : 10.5];
      this.pen.lineTo(px + radius * Math.cos(angle), py + radius * Math.sin(angle));
    }
    this.pen.closePath();
    this.#stroke(1.5);
    this.pen.fillStyle = "#ffd23f";
    this.pen.fill();
    this.pen.stroke();
  }

  #drawLasso(pixels) {
    this.pen.beginPath();
    pixels.forEach((pixel) => this.pen.lineTo(...pixel));
    this.pen.closePath();
    this.#stroke(1.4);
    this.pen.globalAlpha = 0.08;
    this.pen.fillStyle = this.colors.strong;
    this.pen.fill();
    this.pen.globalAlpha = 1;
  }
}

function hatchTile(color) {
  const tile = document.createElement("canvas");
  const pen = sized(tile, 9, 9);
  pen.strokeStyle = color;
  for (const shift of [-9, 0, 9]) {
    pen.moveTo(shift - 1, 10);
    pen.lineTo(shift + 10, -1);
  }
  pen.stroke();
  return tile;
}

const LONGEST = 22; // characters of a name on the map
const LINE = 16; // pixels, its height
const RINGS = [0, 16, 32, 52, 76]; // pixels around the group where its name may stand

/** Where names stand without touching each other: [{text, at, from}] in pixels; without room a name is left out. */
export function placed(names, map, widthOf) {
  const { left, top, width, height } = map.frame();
  const boxes = [];
  const isFree = ([x0, x1, y0, y1]) =>
    x0 >= left && x1 <= left + width && y0 >= top && y1 <= top + height && !boxes.some(([a0, a1, b0, b1]) => x0 < a1 && a0 < x1 && y0 < b1 && b0 < y1);
  const found = [];
  for (const { position, text } of names) {
    const from = map.toPixel(position);
    if (!map.isInside(from)) continue;
    const short = text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text;
    const half = widthOf(short) / 2 + 3;
    const boxAt = ([x, y]) => [x - half, x + half, y - LINE / 2, y + LINE / 2];
    const at = around(from).find((each) => isFree(boxAt(each)));
    if (!at) continue;
    boxes.push(boxAt(at));
    found.push({ text: short, at, from });
  }
  return found;
}

function around([x, y]) {
  return RINGS.flatMap((radius) => Array.from({ length: radius ? 8 : 1 }, (_, k) => {
    const angle = (Math.PI * k) / 4 - Math.PI / 2;
    return [x + 1.6 * radius * Math.cos(angle), y + radius * Math.sin(angle)];
  }));
}
