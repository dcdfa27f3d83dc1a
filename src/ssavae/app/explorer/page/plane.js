// The plane that is shown, inside the code's K dimensions: z = origin + x * x_axis + y * y_axis.

const dot = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0);

/** The code of a place on the map. */
export function codeOf([x, y], { origin, x_axis, y_axis }) {
  return origin.map((o, k) => o + x * x_axis[k] + y * y_axis[k]);
}

/** The place on the map of a code: its shadow on the plane where K > 2. */
export function placeOf(z, { origin, x_axis, y_axis }) {
  const from = z.map((value, k) => value - origin[k]);
  return [dot(from, x_axis), dot(from, y_axis)];
}

/** n codes evenly spread from one code to another, both ends included. */
export function wayBetween(from, to, n) {
  return Array.from({ length: n }, (_, i) => from.map((value, k) => value + ((to[k] - value) * i) / (n - 1)));
}
