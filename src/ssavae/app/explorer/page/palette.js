// Colour-blind safe colours, on light and dark background.

// those of ssavae.figures, so that a class has one colour in map.png and here ...
const TEN_ON_LIGHT = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#332288", "#963CFF", "#882255", "#222222"];
// ... and the same hues, lighter, for a dark background
const TEN_ON_DARK = ["#3C9BE0", "#F0A91B", "#12B886", "#E29CC6", "#86D0F7", "#FF7A2E", "#8F86F5", "#C08BFF", "#D65C90", "#DADADA"];
// from blue to yellow with even steps of lightness; the ends contrast with the background
const STEPS_ON_LIGHT = ["#0b2f6b", "#3d5a86", "#74807f", "#ae9350", "#dba100"];
const STEPS_ON_DARK = ["#3f6fc4", "#7690b0", "#a3a698", "#d1bf67", "#ffe94f"];

const SURROUNDINGS = {
  light: { ground: "#ffffff", ink: "#5a6270", grid: "#eceff3", none: "#7b828d", strong: "#14181f", hatch: "rgba(70,78,92,.34)" },
  dark: { ground: "#181b21", ink: "#a0a8b5", grid: "#262b33", none: "#8a919e", strong: "#ffffff", hatch: "rgba(190,198,210,.27)" },
};

/** Colours of background, text, grid, points without a class or number, marks and hatching. */
export const surroundings = (dark) => SURROUNDINGS[dark ? "dark" : "light"];

/** One colour per class; beyond ten classes, hues a golden angle apart in three lightnesses. */
export function classColors(n, dark) {
  if (n <= 10) return (dark ? TEN_ON_DARK : TEN_ON_LIGHT).slice(0, n);
  const lightness = dark ? [56, 68, 80] : [30, 42, 54];
  return Array.from({ length: n }, (_, c) => hslToHex((c * 137.508) % 360, 72, lightness[c % 3]));
}

/** The colour bar of numbers, as a CSS gradient. */
export const numberGradient = (dark) => `linear-gradient(90deg, ${(dark ? STEPS_ON_DARK : STEPS_ON_LIGHT).join(", ")})`;

/** The colour of each point of a colouring (see coloring.js), (4 n) bytes; its opacity is left open. */
export function pointColors(coloring, dark) {
  return coloring.values ? colorsOfNumbers(coloring, dark) : colorsOfGroups(coloring, dark);
}

function colorsOfGroups({ index, colors }, dark) {
  const words = [surroundings(dark).none, ...colors].map((hex) => new Uint32Array(new Uint8Array([...bytesOf(hex), 0]).buffer)[0]);
  const rgba = new Uint32Array(index.length);
  for (let i = 0; i < index.length; i++) rgba[i] = words[index[i] + 1];
  return new Uint8Array(rgba.buffer);
}

function colorsOfNumbers({ values, low, high }, dark) {
  const steps = (dark ? STEPS_ON_DARK : STEPS_ON_LIGHT).map(bytesOf);
  const none = bytesOf(surroundings(dark).none);
  const rgba = new Uint8Array(4 * values.length);
  for (let i = 0; i < values.length; i++) {
    const at = Math.max(0, Math.min(1, (values[i] - low) / (high - low))) * (steps.length - 1);
    const k = Math.min(steps.length - 2, Math.floor(at));
    if (Number.isFinite(values[i])) for (let c = 0; c < 3; c++) rgba[4 * i + c] = steps[k][c] + (at - k) * (steps[k + 1][c] - steps[k][c]);
    else rgba.set(none, 4 * i);
  }
  return rgba;
}

const bytesOf = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));

function hslToHex(hue, saturation, lightness) {
  const a = (saturation / 100) * Math.min(lightness / 100, 1 - lightness / 100);
  const part = (n) => {
    const k = (n + hue / 30) % 12;
    const value = lightness / 100 - a * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(255 * value).toString(16).padStart(2, "0");
  };
  return `#${part(0)}${part(8)}${part(4)}`;
}
