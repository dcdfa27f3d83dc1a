// Drawing of rows: images as pixels, signals as lines, rows of a table as cells.

import { el, shortNumber } from "./dom.js";

const LINES = ["var(--accent)", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#8F86F5"];
const MOST_STEPS = 400; // of a signal; the panel is too narrow to show more

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
  const attributes = { viewBox: "0 0 300 100", preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${steps} steps` };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  const stride = Math.ceil(steps / MOST_STEPS);
  ranges.forEach(([low, high], c) => {
    const line = document.createElementNS(svg.namespaceURI, "polyline");
    const points = [];
    for (let t = 0; t < steps; t += stride) {
      const up = (data[t * channels + c] - low) / (high - low);
      points.push(`${((300 * t) / (steps - 1)).toFixed(1)},${(lane * (c + 0.94 - 0.88 * up)).toFixed(2)}`);
    }
    line.setAttribute("points", points.join(" "));
    line.setAttribute("style", `fill:none;stroke:${LINES[c % LINES.length]};stroke-width:1.3;vector-effect:non-scaling-stroke`);
    svg.append(line);
  });
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
