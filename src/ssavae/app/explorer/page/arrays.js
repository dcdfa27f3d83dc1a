// Arrays of the API: {dtype, shape, bdata}, little endian in base64; in an exported page also gzipped.

const VIEWS = { f4: Float32Array, i4: Int32Array, u2: Uint16Array, u1: Uint8Array };

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Decode a packed array into {data, shape}, where data is a typed array. */
export function unpack(packed) {
  return { data: new VIEWS[packed.dtype](bytesOf(packed.bdata).buffer), shape: packed.shape };
}

/** Decode a gzipped packed array into {data, shape}. */
export async function unpackGzip(packed) {
  const stream = new Blob([bytesOf(packed.gzip)]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  return { data: new VIEWS[packed.dtype](buffer), shape: packed.shape };
}

/** Unpack the arrays of images and signals; rows of a table are returned unchanged. */
export function unpackValue(value) {
  return value && typeof value.bdata === "string" ? unpack(value) : value;
}

/** The quantile q of the finite numbers of an array; estimated from a sample if there are many. */
export function quantile(values, q) {
  const step = Math.max(1, Math.floor(values.length / 20000));
  const some = [];
  for (let i = 0; i < values.length; i += step) if (Number.isFinite(values[i])) some.push(values[i]);
  some.sort((a, b) => a - b);
  return some.length ? some[Math.round(q * (some.length - 1))] : 0;
}
