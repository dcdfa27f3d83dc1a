// Playback of a path over the map: all frames are decoded first, then shown one after another.

import { drawValues } from "./draw.js";
import { el } from "./dom.js";

const MILLISECONDS = 70; // per frame

/** Create frame, slider and button of a path; `moved(fraction)` is called for every frame shown. */
export function pathControls(frames, kind, moved) {
  const frame = el("div", {});
  const slider = el("input", { type: "range", min: 0, max: frames.length - 1, value: 0, "aria-label": "Position on the path" });
  const button = el("button", { type: "button" }, "Play");
  const show = (i) => {
    slider.value = i;
    frame.replaceChildren(drawValues([{ title: `${Math.round((100 * i) / (frames.length - 1))} % of the path`, value: frames[i] }], kind));
    moved(i / (frames.length - 1));
  };
  const player = playing(frames.length, show, (isPlaying) => button.replaceChildren(isPlaying ? "Pause" : "Play"));
  slider.addEventListener("input", () => {
    player.stop();
    show(Number(slider.value));
  });
  button.addEventListener("click", () => player.toggle(Number(slider.value)));
  show(0);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) player.toggle(0);
  return { elements: [frame, el("div", { className: "player" }, button, slider)], stop: player.stop };
}

// plays from a frame to the last one; from the last one, it starts again at the first
function playing(n, show, changed) {
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    changed(false);
  };
  const toggle = (from) => {
    if (timer !== null) return stop();
    let i = from >= n - 1 ? -1 : from;
    changed(true);
    timer = setInterval(() => {
      i += 1;
      show(i);
      if (i >= n - 1) stop();
    }, MILLISECONDS);
  };
  return { stop, toggle };
}
