// Trustworthy regions of the map: a grid over the plane, trusted[row of y][column of x].

import { sized } from "./dom.js";

/** The trusted cells as a picture, one pixel each, opaque; the highest row of y on top. */
export function trustedCells({ trusted }) {
  const canvas = document.createElement("canvas");
  const [columns, rows] = [trusted[0].length, trusted.length];
  const picture = new ImageData(columns, rows);
  trusted.forEach((row, r) => row.forEach((is, c) => (picture.data[4 * ((rows - 1 - r) * columns + c) + 3] = is ? 255 : 0)));
  sized(canvas, columns, rows).putImageData(picture, 0, 0);
  return canvas;
}

/** What the grid's cells cover: [[x0, x1], [y0, y1]]. */
export function extentOf({ x, y }) {
  return [x, y].map((line) => {
    const half = (line[1] - line[0]) / 2;
    return [line[0] - half, line.at(-1) + half];
  });
}

/** Whether a position is trustworthy; outside the grid there is no data nearby. */
export function isTrusted({ x, y, trusted }, position) {
  const [column, row] = [x, y].map((line, k) => Math.round((position[k] - line[0]) / (line[1] - line[0])));
  return trusted[row]?.[column] ?? false;
}
