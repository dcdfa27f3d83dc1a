// Rows made visible: an image as pixels, a signal as lines, a table's row as cells.

import { el, shortNumber } from "./dom.js";

const LINES = ["var(--accent)", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#8F86F5"];
const MOST_STEPS = 400; // of a signal; more are not seen on so little room

/** Draw rows beside one another: [{title, value}], all of one kind; those without a value are left out. */
export function drawValues(parts, kind) {
  const given = parts.filter(({ value }) => value !== null && value !== undefined);
  if (kind === "table") return el("div", { className: "scroll" }, drawCells(given));
  const draw = kind === "image" ? drawPicture : (value, title) => drawSignal(value, title, rangeOf(given));
  const figures = given.map(({ title, value }) => el("figure", {}, el("figcaption", {}, title), draw(value, title)));
  const single = given.length === 1 && kind === "image" ? " single" : "";
  return el("div", { className: `values${single}${kind === "signal" ? " signals" : ""}` }, ...figures);
}

/** Draw many small ones, for samples. */
export function drawMany(values, names, kind) {
  if (kind === "table") return el("div", { className: "scroll" }, drawCells(values.map((value, i) => ({ title: names[i], value }))));
  if (kind === "signal") return drawValues(values.map((value, i) => ({ title: names[i], value })), kind);
  return el("div", { className: "many" }, ...values.map((value, i) => drawPicture(value, names[i])));
}

function drawPicture({ data, shape }, title) {
  const [height, width, channels = 1] = shape;
  const canvas = el("canvas", { width, height, className: "picture", role: "img", "aria-label": title, title });
  const picture = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) picture.data[4 * i + c] = data[i * channels + Math.min(c, channels - 1)];
    picture.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

function rangeOf(parts) {
  let [low, high] = [Infinity, -Infinity];
  for (const { value } of parts) {
    for (const each of value.data) {
      low = Math.min(low, each);
      high = Math.max(high, each);
    }
  }
  return [low, high > low ? high : low + 1];
}

function drawSignal({ data, shape }, title, [low, high]) {
  const [steps, channels = 1] = shape;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const attributes = { viewBox: "0 0 300 100", preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${steps} steps` };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  const stride = Math.ceil(steps / MOST_STEPS);
  for (let c = 0; c < channels; c++) {
    const line = document.createElementNS(svg.namespaceURI, "polyline");
    const points = [];
    for (let t = 0; t < steps; t += stride) {
      points.push(`${((300 * t) / (steps - 1)).toFixed(1)},${(97 - (94 * (data[t * channels + c] - low)) / (high - low)).toFixed(2)}`);
    }
    line.setAttribute("points", points.join(" "));
    line.setAttribute("style", `fill:none;stroke:${LINES[c % LINES.length]};stroke-width:1.3;vector-effect:non-scaling-stroke`);
    svg.append(line);
  }
  return svg;
}

function drawCells(parts) {
  const names = Object.keys(parts[0]?.value ?? {});
  const head = el("tr", {}, el("th", { scope: "col" }, "column"), ...parts.map(({ title }) => el("th", { scope: "col", className: "number" }, title)));
  const lines = names.map((name) =>
    el("tr", {}, el("th", { scope: "row" }, name), ...parts.map(({ value }) => el("td", { className: "number" }, shortNumber(value[name])))),
  );
  return el("table", {}, el("thead", {}, head), el("tbody", {}, ...lines));
}
