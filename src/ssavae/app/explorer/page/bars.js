// Bars beside names: probabilities and counts.

import { el } from "./dom.js";

/** Bars of the likeliest classes; null where there are no probabilities. */
export function probabilityBars(classes, probabilities, most = 8) {
  if (!probabilities || !probabilities.length) return null;
  const ranked = Array.from(probabilities, (p, c) => [classes[c], p, p.toFixed(3)]).sort((a, b) => b[1] - a[1]);
  return el("div", {}, el("h3", {}, "Class"), bars(ranked.slice(0, most)));
}

/** Bars of [name, fraction, text]. */
export function bars(lines) {
  const cells = lines.flatMap(([name, fraction, text]) => {
    const bar = el("span", { className: "bar" });
    bar.style.width = `${Math.max(0.5, 100 * fraction)}%`;
    return [el("span", { className: "name", title: name }, name), bar, el("span", {}, text)];
  });
  return el("div", { className: "bars" }, ...cells);
}
