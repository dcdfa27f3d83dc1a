// Trustworthy regions of the map: a grid over the plane, trusted[row of y][column of x].

/** Rectangles [x0, x1, y0, y1] of the untrusted cells, merged along each row of the grid. */
export function untrustedRuns({ x, y, trusted }) {
  const [dx, dy] = [(x[1] - x[0]) / 2, (y[1] - y[0]) / 2];
  const runs = [];
  trusted.forEach((row, r) => {
    for (let c = 0; c < row.length; c++) {
      if (row[c]) continue;
      const first = c;
      while (c + 1 < row.length && !row[c + 1]) c++;
      runs.push([x[first] - dx, x[c] + dx, y[r] - dy, y[r] + dy]);
    }
  });
  return runs;
}

/** The part of a view [x0, x1, y0, y1] outside the grid, as up to four rectangles. */
export function beyondGrid({ x, y }, [x0, x1, y0, y1]) {
  const [dx, dy] = [(x[1] - x[0]) / 2, (y[1] - y[0]) / 2];
  const [left, right, bottom, top] = [x[0] - dx, x.at(-1) + dx, y[0] - dy, y.at(-1) + dy];
  const around = [[x0, left, y0, y1], [right, x1, y0, y1], [left, right, y0, bottom], [left, right, top, y1]];
  return around.filter(([a, b, c, d]) => a < b && c < d);
}

/** Whether a position is trustworthy; outside the grid there is no data nearby. */
export function isTrusted({ x, y, trusted }, position) {
  const [column, row] = [x, y].map((line, k) => Math.round((position[k] - line[0]) / (line[1] - line[0])));
  return trusted[row]?.[column] ?? false;
}
