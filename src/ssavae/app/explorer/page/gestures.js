// Gestures on the map: point, click, drag and lasso; and the same by keyboard.

const CLICK = 5; // pixels; a press that moves less is a click
const STEP = 0.02; // fraction of the view that an arrow key moves

/** Pointer gestures; `mode()` is "look", "pan" or "lasso". Moving and zooming are plotly's. */
export function followPointer(host, map, mode, act) {
  let press = null; // {from, trail}: start and path of a drag, in pixels
  const pixelOf = (event) => {
    const { left, top } = host.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  host.addEventListener("pointerdown", (event) => {
    const pixel = pixelOf(event);
    if (event.button !== 0 || !map.isInside(pixel)) return;
    press = { from: pixel, trail: [pixel] };
    // so that a drag may leave the map
    if (mode() !== "pan") host.setPointerCapture(event.pointerId);
  });
  host.addEventListener("pointermove", (event) => {
    const pixel = pixelOf(event);
    if (press === null) return map.isInside(pixel) ? act.look(pixel) : act.leave();
    press.trail.push(pixel);
    if (mode() === "look" && isDrag(press)) act.previewPath(press.from, pixel);
    if (mode() === "lasso") act.draw(press.trail);
  });
  // on window, since plotly covers the page while it moves the map
  window.addEventListener("pointerup", (event) => {
    if (press === null) return;
    const ended = press;
    press = null;
    ended.trail.push(pixelOf(event));
    if (!isDrag(ended)) act.pin(pixelOf(event));
    else if (mode() === "look") act.playPath(ended.from, pixelOf(event));
    else if (mode() === "lasso") act.finishLasso(ended.trail);
  });
  window.addEventListener("pointercancel", () => {
    press = null;
    act.leave();
  });
  host.addEventListener("pointerleave", () => press === null && act.leave());
}

const isDrag = ({ from, trail }) => trail.some(([x, y]) => Math.hypot(x - from[0], y - from[1]) > CLICK);

/** Keyboard control of the probe: arrows move it, Enter marks both ends of a path, Space pins, Escape releases. */
export function followKeys(host, map, act) {
  let position = null;
  let start = null;
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const move = ([dx, dy], far) => {
    const [x0, x1, y0, y1] = map.range;
    const [x, y] = position ?? map.middle();
    const step = STEP * (far ? 5 : 1);
    const within = (value, low, high) => Math.max(low, Math.min(high, value));
    position = [within(x + dx * step * (x1 - x0), x0, x1), within(y + dy * step * (y1 - y0), y0, y1)];
    act.moveProbe(map.toPixel(position));
  };
  const mark = () => {
    position ??= map.middle();
    const pixel = map.toPixel(position);
    if (start === null) act.startPath(pixel);
    else act.playPath(map.toPixel(start), pixel);
    start = start === null ? position : null;
  };
  const keys = {
    Enter: mark,
    " ": () => act.pin(map.toPixel(position ?? map.middle())),
    Escape: () => {
      start = null;
      act.release();
    },
    "+": () => map.zoom(0.7, position ?? map.middle()),
    "-": () => map.zoom(1 / 0.7, position ?? map.middle()),
  };
  host.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = arrows[event.key];
    const key = keys[event.key === "=" ? "+" : event.key];
    if (!arrow && !key) return;
    event.preventDefault();
    arrow ? move(arrow, event.shiftKey) : key();
  });
}
