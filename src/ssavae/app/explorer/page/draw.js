// Drawing of rows: images as pixels, signals as lines, rows of a table as cells.

import { el, shortNumber } from "./dom.js";

const LINES = ["var(--accent)", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#8F86F5"];
const COLUMNS = 300; // of a signal's picture, about as many as the panel has pixels

/** Draw rows side by side: [{title, value}], all of one kind; those without a value are skipped. */
export function drawValues(parts, kind) {
  const given = parts.filter(({ value }) => value !== null && value !== undefined);
  if (kind === "table") return el("div", { className: "scroll" }, drawCells(given));
  const ranges = kind === "signal" ? rangesOf(given) : null;
  const draw = kind === "image" ? drawPicture : (value, title) => drawSignal(value, title, ranges);
  const figures = given.map(({ title, value }) => el("figure", {}, el("figcaption", {}, title), draw(value, title)));
  const single = given.length === 1 && kind === "image" ? " single" : "";
  return el("div", { className: `values${single}${kind === "signal" ? " signals" : ""}` }, ...figures);
}

/** Draw many rows in small format, for samples. */
export function drawMany(values, names, kind) {
  if (kind === "table") return el("div", { className: "scroll" }, drawCells(values.map((value, i) => ({ title: names[i], value }))));
  if (kind === "signal") return drawValues(values.map((value, i) => ({ title: names[i], value })), kind);
  return el("div", { className: "many" }, ...values.map((value, i) => drawPicture(value, names[i])));
}

/** Draw an image, or the line of a signal, alone. */
export function drawThumbnail(value, title, kind) {
  if (kind === "image") return drawPicture(value, title);
  const line = drawSignal(value, title, rangesOf([{ value }])).querySelector("svg");
  line.style.height = "";
  return line;
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

// minimum and maximum of each channel over all signals shown together
function rangesOf(parts) {
  const channels = parts[0]?.value.shape[1] ?? 1;
  const ranges = Array.from({ length: channels }, () => [Infinity, -Infinity]);
  for (const { value } of parts) {
    value.data.forEach((each, i) => {
      const range = ranges[i % channels];
      range[0] = Math.min(range[0], each);
      range[1] = Math.max(range[1], each);
    });
  }
  return ranges.map(([low, high]) => [low, high > low ? high : low + 1]);
}

// each channel has its own lane and scale, since sensors have different units
function drawSignal({ data, shape }, title, ranges) {
  const [steps, channels = 1] = shape;
  const lane = 100 / channels;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.style.height = `${Math.min(480, Math.max(110, 44 * channels))}px`;
  const attributes = { viewBox: `0 0 ${COLUMNS} 100`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${steps} steps` };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  ranges.forEach(([low, high], c) => {
    const line = document.createElementNS(svg.namespaceURI, "polyline");
    const up = (value) => lane * (c + 0.94 - (0.88 * (value - low)) / (high - low));
    const points = envelope((t) => data[t * channels + c], steps).map(([t, value]) => `${((COLUMNS * t) / Math.max(1, steps - 1)).toFixed(1)},${up(value).toFixed(2)}`);
    line.setAttribute("points", points.join(" "));
    line.setAttribute("style", `fill:none;stroke:${LINES[c % LINES.length]};stroke-width:1.3;vector-effect:non-scaling-stroke`);
    svg.append(line);
  });
  const lanes = ranges.map(([low, high]) => el("span", {}, el("span", {}, shortNumber(high)), el("span", {}, shortNumber(low))));
  const time = el("div", { className: "time" }, el("span", {}, "0"), el("span", {}, "time in samples"), el("span", {}, shortNumber(steps - 1)));
  return el("div", { className: "signal" }, el("div", { className: "amplitude", title: "amplitude" }, ...lanes), svg, time);
}

/** The points [t, value] of a signal's line: every sample, or where there are many the lowest and highest of each column. */
export function envelope(valueAt, steps) {
  if (steps <= 2 * COLUMNS) return Array.from({ length: steps }, (_, t) => [t, valueAt(t)]);
  const points = [];
  for (let column = 0; column < COLUMNS; column++) {
    const [from, to] = [column, column + 1].map((k) => Math.floor((k * steps) / COLUMNS));
    let [low, high] = [from, from];
    for (let t = from; t < to; t++) {
      if (valueAt(t) < valueAt(low)) low = t;
      if (valueAt(t) > valueAt(high)) high = t;
    }
    points.push(...[Math.min(low, high), Math.max(low, high)].map((t) => [t, valueAt(t)]));
  }
  return points;
}

function drawCells(parts) {
  const names = Object.keys(parts[0]?.value ?? {});
  const head = el("tr", {}, el("th", { scope: "col" }, "column"), ...parts.map(({ title }) => el("th", { scope: "col", className: "number" }, title)));
  const lines = names.map((name) =>
    el("tr", {}, el("th", { scope: "row" }, name), ...parts.map(({ value }) => el("td", { className: "number" }, shortNumber(value[name])))),
  );
  return el("table", {}, el("thead", {}, head), el("tbody", {}, ...lines));
}
