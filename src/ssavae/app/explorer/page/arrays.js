// Arrays as they travel: {dtype, shape, bdata}, little endian in base64; in an exported page gzipped too.

const VIEWS = { f4: Float32Array, i4: Int32Array, u2: Uint16Array, u1: Uint8Array };

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Turn a packed array into {data, shape}, data being a typed array. */
export function unpack(packed) {
  return { data: new VIEWS[packed.dtype](bytesOf(packed.bdata).buffer), shape: packed.shape };
}

/** Turn an array that was gzipped before base64 into {data, shape}. */
export async function unpackGzip(packed) {
  const stream = new Blob([bytesOf(packed.gzip)]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  return { data: new VIEWS[packed.dtype](buffer), shape: packed.shape };
}

/** Unpack a decoded row: images and signals are arrays, the cells of a table stay as they are. */
export function unpackValue(value) {
  return value && typeof value.bdata === "string" ? unpack(value) : value;
}

/** The quantile q of the finite numbers of an array; of many, of an even sample. */
export function quantile(values, q) {
  const step = Math.max(1, Math.floor(values.length / 20000));
  const some = [];
  for (let i = 0; i < values.length; i += step) if (Number.isFinite(values[i])) some.push(values[i]);
  some.sort((a, b) => a - b);
  return some.length ? some[Math.round(q * (some.length - 1))] : 0;
}
