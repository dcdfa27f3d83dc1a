// Where the map may be read: a grid over the plane, trusted[row of y][column of x].

/** The untrusted cells of each row of the grid, joined where they touch: [x0, x1, y0, y1]. */
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

/** What of a view [x0, x1, y0, y1] lies beyond the grid, as up to four rectangles. */
export function beyondGrid({ x, y }, [x0, x1, y0, y1]) {
  const [dx, dy] = [(x[1] - x[0]) / 2, (y[1] - y[0]) / 2];
  const [left, right, bottom, top] = [x[0] - dx, x.at(-1) + dx, y[0] - dy, y.at(-1) + dy];
  const around = [[x0, left, y0, y1], [right, x1, y0, y1], [left, right, y0, bottom], [left, right, top, y1]];
  return around.filter(([a, b, c, d]) => a < b && c < d);
}

/** Whether a place may be read; beyond the grid there is no data near. */
export function isTrusted({ x, y, trusted }, place) {
  const [column, row] = [x, y].map((line, k) => Math.round((place[k] - line[0]) / (line[1] - line[0])));
  return trusted[row]?.[column] ?? false;
}
