// Density of the points as lines: a histogram over the map, smoothed, and marching squares through it.

const SIDE = 128; // cells
const MARGIN = 16; // cells around the points, into which smoothing spreads
const SHARES = [0.9, 0.7, 0.5, 0.3, 0.1]; // of the points inside each line

/** Lines around the densest parts of the visible points: [[x0, y0, x1, y1, ...]], one array of segments a share. */
export function contours(x, y, visible, [x0, x1, y0, y1]) {
  const cell = Math.max(x1 - x0, y1 - y0) / (SIDE - 2 * MARGIN) || 1;
  const origin = [(x0 + x1 - SIDE * cell) / 2, (y0 + y1 - SIDE * cell) / 2];
  const counts = new Float64Array(SIDE * SIDE);
  let n = 0;
  for (let i = 0; i < x.length; i++) {
    if (!visible[i]) continue;
    counts[Math.floor((y[i] - origin[1]) / cell) * SIDE + Math.floor((x[i] - origin[0]) / cell)]++;
    n++;
  }
  if (n === 0) return [];
  const density = smoothed(counts, Math.max(1.2, 12 * n ** (-1 / 6)));
  const toMap = (column, row) => [origin[0] + (column + 0.5) * cell, origin[1] + (row + 0.5) * cell];
  return levelsOf(density).map((level) => segments(density, level, toMap));
}

// the densities above which so large a share of the whole lies
function levelsOf(density) {
  const sorted = Float64Array.from(density).sort().reverse();
  const total = sorted.reduce((sum, value) => sum + value, 0);
  let [k, sum] = [0, 0];
  return SHARES.toReversed().map((share) => {
    while (k < sorted.length - 1 && sum + sorted[k] < share * total) sum += sorted[k++];
    return sorted[k];
  });
}

// by a normal distribution, along one axis and then along the other
function smoothed(values, sigma) {
  const reach = Math.ceil(3 * sigma);
  const kernel = Array.from({ length: 2 * reach + 1 }, (_, k) => Math.exp(-(((k - reach) / sigma) ** 2) / 2));
  const sum = kernel.reduce((total, each) => total + each, 0);
  const along = (from, step, other) => {
    const to = new Float64Array(from.length);
    for (let line = 0; line < SIDE; line++) {
      for (let at = 0; at < SIDE; at++) {
        const value = from[line * other + at * step];
        if (value === 0) continue;
        const [first, last] = [Math.max(0, at - reach), Math.min(SIDE - 1, at + reach)];
        for (let k = first; k <= last; k++) to[line * other + k * step] += (value * kernel[k - at + reach]) / sum;
      }
    }
    return to;
  };
  return along(along(values, 1, SIDE), SIDE, 1);
}

// of the four edges of a cell between grid points, those that a line of each of the 16 cases joins
const EDGES = [[], [3, 0], [0, 1], [3, 1], [1, 2], [3, 0, 1, 2], [0, 2], [3, 2], [2, 3], [2, 0], [0, 1, 2, 3], [2, 1], [1, 3], [1, 0], [0, 3], []];
const CORNERS = [[0, 0], [1, 0], [1, 1], [0, 1]];

function segments(density, level, toMap) {
  const found = [];
  for (let row = 0; row < SIDE - 1; row++) {
    for (let column = 0; column < SIDE - 1; column++) {
      const corners = CORNERS.map(([dx, dy]) => density[(row + dy) * SIDE + column + dx]);
      const edges = EDGES[corners.reduce((bits, value, k) => bits + (value > level ? 1 << k : 0), 0)];
      for (const edge of edges) {
        const [a, b] = [edge, (edge + 1) % 4];
        const along = (level - corners[a]) / (corners[b] - corners[a]);
        const [from, to] = [CORNERS[a], CORNERS[b]];
        found.push(...toMap(...[0, 1].map((k) => [column, row][k] + from[k] + along * (to[k] - from[k]))));
      }
    }
  }
  return found;
}
