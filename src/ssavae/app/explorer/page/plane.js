// The plane shown, within the K dimensions of the latent space: z = origin + x * x_axis + y * y_axis.

const dot = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0);

/** The code of a position on the map. */
export function codeOf([x, y], { origin, x_axis, y_axis }) {
  return origin.map((o, k) => o + x * x_axis[k] + y * y_axis[k]);
}

/** The position of a code on the map: its projection onto the plane. */
export function positionOf(z, { origin, x_axis, y_axis }) {
  const from = z.map((value, k) => value - origin[k]);
  return [dot(from, x_axis), dot(from, y_axis)];
}

/** A code moved along the plane to a position; what is off the plane stays as it is. */
export function movedTo(z, position, projection) {
  const [dx, dy] = positionOf(z, projection).map((from, k) => position[k] - from);
  return z.map((value, k) => value + dx * projection.x_axis[k] + dy * projection.y_axis[k]);
}

/** n codes evenly spread from one code to another, both ends included. */
export function interpolate(from, to, n) {
  return Array.from({ length: n }, (_, i) => from.map((value, k) => value + ((to[k] - value) * i) / (n - 1)));
}
