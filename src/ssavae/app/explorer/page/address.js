// The state of the page in its address: colour, view and item, so that a link shows the same.

const DELAY = 300; // ms; browsers limit how often an address may change

/** Read the state from the address: {color, view, item, lasso, filters, density}, each only where it is there and valid. */
export function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const numbers = (name) => (given.get(name) ?? "").split(",").map(Number);
  const state = {};
  if (given.has("color")) state.color = given.get("color");
  const [x, y, unit] = numbers("view");
  if (given.has("view") && [x, y, unit].every(Number.isFinite) && unit > 0) state.view = { center: [x, y], unit };
  const [item] = numbers("item");
  if (given.has("item") && Number.isInteger(item) && item >= 0) state.item = item;
  if (given.has("lasso")) state.lasso = given.get("lasso").split(";").map((pair) => pair.split(",").map(Number));
  if (state.lasso?.some((pair) => pair.length !== 2 || !pair.every(Number.isFinite))) delete state.lasso;
  if (given.get("density") === "1") state.density = true;
  const filters = [...given.getAll("range").map(readRange), ...given.getAll("among").map(readGroups)].filter(Boolean);
  if (filters.length) state.filters = filters;
  return state;
}

// key:low..high, where an end may be left open
function readRange(text) {
  const [, key, low, high] = text.match(/^([^:]+):(.*)\.\.(.*)$/) ?? [];
  const range = [low === "" ? -Infinity : Number(low), high === "" ? Infinity : Number(high)];
  return key && !range.some(Number.isNaN) ? { key: decoded(key), range } : null;
}

// key:name|name
function readGroups(text) {
  const [, key, names] = text.match(/^([^:]+):(.*)$/) ?? [];
  return key ? { key: decoded(key), words: names.split("|").map(decoded) } : null;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function filterText({ key, range, words }) {
  if (words) return `among=${encodeURIComponent(`${encodeURIComponent(key)}:${words.map(encodeURIComponent).join("|")}`)}`;
  const ends = range.map((end) => (Number.isFinite(end) ? Number(end.toPrecision(7)) : ""));
  return `range=${encodeURIComponent(`${encodeURIComponent(key)}:${ends.join("..")}`)}`;
}

let waiting = null;

// in the frame of a notebook there is no address of its own
function replace(address) {
  try {
    history.replaceState(null, "", address);
  } catch {
    // the state is not kept
  }
}

/** Write the state into the address, without a new entry in the browser's history. */
export function writeAddress({ color, view, item, lasso, filters, density }) {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const short = (number) => Number(number.toPrecision(5));
    const words = [];
    if (color) words.push(`color=${encodeURIComponent(color)}`);
    if (view) words.push(`view=${[...view.center, view.unit].map(short).join(",")}`);
    if (item !== undefined && item !== null) words.push(`item=${item}`);
    if (lasso) words.push(`lasso=${lasso.map((pair) => pair.map(short).join(",")).join(";")}`);
    if (density) words.push("density=1");
    words.push(...(filters ?? []).map(filterText));
    replace(words.length ? `#${words.join("&")}` : location.pathname + location.search);
  }, DELAY);
}
