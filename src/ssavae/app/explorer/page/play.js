// A way over the map, played: frames decoded at once, then shown one after another.

import { drawValues } from "./draw.js";
import { el } from "./dom.js";

const MILLISECONDS = 70; // a frame

/** Make the stage, slider and button of a way; `moved(share)` is called with every frame shown. */
export function wayControls(frames, kind, moved) {
  const stage = el("div", {});
  const slider = el("input", { type: "range", min: 0, max: frames.length - 1, value: 0, "aria-label": "Place on the way" });
  const button = el("button", { type: "button" }, "Play");
  const show = (i) => {
    slider.value = i;
    stage.replaceChildren(drawValues([{ title: `${Math.round((100 * i) / (frames.length - 1))} % of the way`, value: frames[i] }], kind));
    moved(i / (frames.length - 1));
  };
  const player = playing(frames.length, show, (plays) => button.replaceChildren(plays ? "Pause" : "Play"));
  slider.addEventListener("input", () => {
    player.stop();
    show(Number(slider.value));
  });
  button.addEventListener("click", () => player.toggle(Number(slider.value)));
  show(0);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) player.toggle(0);
  return { elements: [stage, el("div", { className: "way" }, button, slider)], stop: player.stop };
}

// from a frame to the last one; started at the end, from the beginning
function playing(n, show, said) {
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    said(false);
  };
  const toggle = (from) => {
    if (timer !== null) return stop();
    let i = from >= n - 1 ? -1 : from;
    said(true);
    timer = setInterval(() => {
      i += 1;
      show(i);
      if (i >= n - 1) stop();
    }, MILLISECONDS);
  };
  return { stop, toggle };
}
