// Axes below the points: grid lines, round numbers and titles.

import { shortNumber, sized } from "./dom.js";

/** Round numbers in a range, about one each `room` pixels. */
export function ticks(low, high, pixels, room) {
  const least = ((high - low) * room) / pixels;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= least);
  const numbers = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) numbers.push(Number((k * step).toPrecision(12)));
  return numbers;
}

/** Draw the axes of a map on a canvas; `colors` as of palette.js. */
export function drawAxes(canvas, map, titles, colors) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth, clientHeight } = canvas;
  const pen = sized(canvas, clientWidth * ratio, clientHeight * ratio);
  pen.scale(ratio, ratio);
  Object.assign(pen, { fillStyle: colors.ink, strokeStyle: colors.grid, lineWidth: 1, font: "11px system-ui, sans-serif" });
  const { left, top, width, height } = map.frame();
  const [x0, x1, y0, y1] = map.range;
  const line = (ax, ay, bx, by) => {
    pen.beginPath();
    pen.moveTo(Math.round(ax) + 0.5, Math.round(ay) + 0.5);
    pen.lineTo(Math.round(bx) + 0.5, Math.round(by) + 0.5);
    pen.stroke();
  };
  Object.assign(pen, { textAlign: "center", textBaseline: "top" });
  for (const x of ticks(x0, x1, width, 70)) {
    const [px] = map.toPixel([x, y0]);
    line(px, top, px, top + height);
    pen.fillText(shortNumber(x), px, top + height + 5);
  }
  Object.assign(pen, { textAlign: "right", textBaseline: "middle" });
  for (const y of ticks(y0, y1, height, 50)) {
    const [, py] = map.toPixel([x0, y]);
    line(left, py, left + width, py);
    pen.fillText(shortNumber(y), left - 5, py);
  }
  Object.assign(pen, { textAlign: "center", textBaseline: "bottom", font: "12px system-ui, sans-serif" });
  pen.fillText(titles[0], left + width / 2, clientHeight - 2);
  pen.translate(11, top + height / 2);
  pen.rotate(-Math.PI / 2);
  Object.assign(pen, { textBaseline: "middle" });
  pen.fillText(titles[1], 0, 0);
}
