// Client of the server's HTTP API; exported.js has the same methods for an exported file.

import { unpack, unpackValue } from "./arrays.js";

const TYPES = { png: "image/png", csv: "text/csv", npy: "application/x-npy" };
const TOKEN = "ssavae-token";

/** A request that the server (or the exported file) cannot answer, with a message for the user. */
export class RequestError extends Error {}

/** The server does not respond. */
export class ServerUnreachable extends Error {
  constructor() {
    super("The server does not answer. Is “ssavae explore” still running?");
  }
}

/** Move the token from the address into this tab's session storage. */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(TOKEN, given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(TOKEN);
}

/** A running `ssavae explore`. */
export class Server {
  #headers;
  #answered;
  #most = 1;
  #dimensions = null;
  canEncode = true; // the user's own rows can be encoded
  takesCodes = true; // all of a code is decoded, not its position alone
  neighbourKinds = ["code", "features"];

  /** `answered` is called at every reply. */
  constructor(token, answered) {
    this.#answered = answered;
    this.#headers = token ? { Authorization: `Bearer ${token}` } : {};
  }

  async #request(path, options = {}) {
    let reply;
    try {
      reply = await fetch(`api/${path}`, { ...options, headers: { ...this.#headers, ...options.headers } });
    } catch {
      throw new ServerUnreachable();
    }
    this.#answered();
    if (reply.ok) return reply.json();
    const problem = await reply.json().catch(() => ({}));
    throw new RequestError(problem.detail ?? problem.title ?? `The server answered ${reply.status}.`);
  }

  #post(path, body) {
    return this.#request(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  }

  async model() {
    const model = await this.#request("model");
    this.#most = model.limits.items;
    return model;
  }

  /** Positions and properties of all points; `axes` is {x, y}, "umap", or null for the first two principal components. */
  async points(axes) {
    const reply = await this.#request(`points?${axesQuery(axes)}`);
    const arrays = ["x", "y", "label", "predicted", "confidence", "novelty", "row", "number"];
    const unpacked = arrays.filter((name) => reply[name]).map((name) => [name, unpack(reply[name]).data]);
    return { ...reply, ...Object.fromEntries(unpacked) };
  }

  async column(name) {
    const { values } = await this.#request(`columns/${encodeURIComponent(name)}`);
    return Array.isArray(values) ? values : unpack(values).data;
  }

  trust(axes) {
    return this.#request(`trust?${axesQuery(axes)}`);
  }

  async item(i) {
    return withValues(await this.#request(`items/${i}`), "x", "x_rec");
  }

  /** What codes decode to, and the probabilities of the classes there: [{value, probabilities}]. */
  async decode(codes) {
    const { x, probabilities } = await this.#post("decode", { z: codes });
    return x.map((value, k) => ({ value: unpackValue(value), probabilities: probabilities?.[k] ?? null }));
  }

  neighbours(i, n, kind) {
    return this.#request(`items/${i}/neighbours?n=${n}&by=${kind}`);
  }

  /** An item with its detail at the place of each class: {classes, z, x}. */
  async throughClasses(i) {
    const reply = await this.#request(`items/${i}/classes`);
    return { ...reply, x: reply.x.map(unpackValue) };
  }

  /** Dimensions of a code by their effect: [{index, low, high}]. */
  async dimensions() {
    this.#dimensions ??= this.#request("dimensions");
    return (await this.#dimensions).dimensions;
  }

  async sample(n, name) {
    const reply = await this.#post("sample", name === null ? { n } : { n, y: name });
    return { ...reply, x: reply.x.map(unpackValue) };
  }

  /** The values of items, in their order. */
  async rows(items) {
    const { x } = await this.#post("rows", { items });
    return x.map(unpackValue);
  }

  async select(items) {
    const step = Math.ceil(items.length / this.#most); // of very many items, evenly spaced ones stand for all
    const some = Array.from(items).filter((_, k) => k % step === 0);
    return { ...withValues(await this.#post("select", { items: some }), "x", "x_spread"), n: items.length };
  }

  /** Encode the rows of a file. */
  async land(file) {
    const type = TYPES[file.name.split(".").pop().toLowerCase()];
    if (!type) throw new RequestError(`${file.name}: drop a .png, .csv or .npy file`);
    const { items, warnings } = await this.#request("land", { method: "POST", body: file, headers: { "Content-Type": type } });
    return items.map((item) => ({ ...withValues(item, "x", "x_rec"), warnings: warnings ?? [] }));
  }
}

const axesQuery = (axes) => (axes === "umap" ? "axes=umap" : axes ? `x_axis=${axes.x}&y_axis=${axes.y}` : "axes=pca");

function withValues(reply, ...names) {
  return { ...reply, ...Object.fromEntries(names.map((name) => [name, unpackValue(reply[name])])) };
}
