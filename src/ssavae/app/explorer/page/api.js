// The server's HTTP API, as the page asks it. frozen.js answers the same questions from an exported file.

import { unpack, unpackValue } from "./arrays.js";

const TYPES = { png: "image/png", csv: "text/csv", npy: "application/x-npy" };
const TOKEN = "ssavae-token";

/** What the server (or the exported file) refuses, in words for the reader. */
export class Refusal extends Error {}

/** Nobody answers. */
export class ServerGone extends Error {
  constructor() {
    super("The server does not answer. Is “ssavae explore” still running?");
  }
}

/** Take the token out of the address, where it must not stay, and keep it for this tab. */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(TOKEN, given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(TOKEN);
}

/** Ask a running `ssavae explore`. */
export class Server {
  #headers;
  #answered;
  lands = true; // rows of the reader's own can be encoded

  /** `answered` is called with every answer. */
  constructor(token, answered) {
    this.#answered = answered;
    this.#headers = token ? { Authorization: `Bearer ${token}` } : {};
  }

  async #ask(path, options = {}) {
    let reply;
    try {
      reply = await fetch(`api/${path}`, { ...options, headers: { ...this.#headers, ...options.headers } });
    } catch {
      throw new ServerGone();
    }
    this.#answered();
    if (reply.ok) return reply.json();
    const problem = await reply.json().catch(() => ({}));
    throw new Refusal(problem.detail ?? problem.title ?? `The server answered ${reply.status}.`);
  }

  #post(path, body) {
    return this.#ask(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  }

  model() {
    return this.#ask("model");
  }

  /** Places and properties of all points; `axes` is {x, y}, or null for the principal plane. */
  async points(axes) {
    const told = await this.#ask(`points?${axesQuery(axes)}`);
    const arrays = ["x", "y", "label", "predicted", "confidence", "novelty", "row"];
    const unpacked = arrays.filter((name) => told[name]).map((name) => [name, unpack(told[name]).data]);
    return { ...told, ...Object.fromEntries(unpacked) };
  }

  async column(name) {
    const { values } = await this.#ask(`columns/${encodeURIComponent(name)}`);
    return Array.isArray(values) ? values : unpack(values).data;
  }

  trust(axes) {
    return this.#ask(`trust?${axesQuery(axes)}`);
  }

  async item(i) {
    return withValues(await this.#ask(`items/${i}`), "x", "x_rec");
  }

  async decode(codes) {
    const { x } = await this.#post("decode", { z: codes });
    return x.map(unpackValue);
  }

  async sample(n, name) {
    const told = await this.#post("sample", name === null ? { n } : { n, y: name });
    return { ...told, x: told.x.map(unpackValue) };
  }

  async select(items) {
    return withValues(await this.#post("select", { items: Array.from(items) }), "x", "x_spread");
  }

  /** Where a file's rows land on the map. */
  async land(file) {
    const type = TYPES[file.name.split(".").pop().toLowerCase()];
    if (!type) throw new Refusal(`${file.name}: drop a .png, .csv or .npy file`);
    const { items, warnings } = await this.#ask("land", { method: "POST", body: file, headers: { "Content-Type": type } });
    return items.map((item) => ({ ...withValues(item, "x", "x_rec"), warnings: warnings ?? [] }));
  }
}

const axesQuery = (axes) => (axes ? `x_axis=${axes.x}&y_axis=${axes.y}` : "axes=pca");

function withValues(told, ...names) {
  return { ...told, ...Object.fromEntries(names.map((name) => [name, unpackValue(told[name])])) };
}
