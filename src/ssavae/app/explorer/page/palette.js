// Colour-blind safe colours, on light and dark background.

// Okabe and Ito's eight with a darker yellow, and Tol's indigo and wine, as in ssavae.figures ...
const TEN_ON_LIGHT = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#332288", "#D2C200", "#882255", "#222222"];
// ... and the same hues, lighter, for a dark background
const TEN_ON_DARK = ["#3C9BE0", "#F0A91B", "#12B886", "#E29CC6", "#86D0F7", "#FF7A2E", "#8F86F5", "#EFE04A", "#D65C90", "#DADADA"];
// from blue to yellow with even steps of lightness; the ends contrast with the background
const STEPS_ON_LIGHT = ["#0b2f6b", "#3d5a86", "#74807f", "#ae9350", "#dba100"];
const STEPS_ON_DARK = ["#3f6fc4", "#7690b0", "#a3a698", "#d1bf67", "#ffe94f"];

const SURROUNDINGS = {
  light: { ground: "#ffffff", ink: "#5a6270", grid: "#eceff3", none: "#a9afb8", strong: "#14181f", hatch: "rgba(70,78,92,.34)" },
  dark: { ground: "#181b21", ink: "#a0a8b5", grid: "#262b33", none: "#6b7280", strong: "#ffffff", hatch: "rgba(190,198,210,.27)" },
};

/** Colours of background, text, grid, unlabelled points, marks and hatching. */
export const surroundings = (dark) => SURROUNDINGS[dark ? "dark" : "light"];

/** One colour per class; beyond ten classes, hues a golden angle apart in three lightnesses. */
export function classColors(n, dark) {
  if (n <= 10) return (dark ? TEN_ON_DARK : TEN_ON_LIGHT).slice(0, n);
  const lightness = dark ? [56, 68, 80] : [30, 42, 54];
  return Array.from({ length: n }, (_, c) => hslToHex((c * 137.508) % 360, 72, lightness[c % 3]));
}

/** A colour scale for numbers, for plotly and as a CSS gradient. */
export function numberScale(dark) {
  const steps = dark ? STEPS_ON_DARK : STEPS_ON_LIGHT;
  return { plotly: steps.map((color, i) => [i / (steps.length - 1), color]), css: `linear-gradient(90deg, ${steps.join(", ")})` };
}

/** A colour scale for integers 0 .. n - 1, one colour each. */
export function steppedScale(colors) {
  const n = colors.length;
  return colors.flatMap((color, c) => [[c / n, color], [(c + 1) / n, color]]);
}

function hslToHex(hue, saturation, lightness) {
  const a = (saturation / 100) * Math.min(lightness / 100, 1 - lightness / 100);
  const part = (n) => {
    const k = (n + hue / 30) % 12;
    const value = lightness / 100 - a * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(255 * value).toString(16).padStart(2, "0");
  };
  return `#${part(0)}${part(8)}${part(4)}`;
}
