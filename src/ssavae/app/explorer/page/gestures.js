// Gestures on the map: point, click, drag, lasso, wheel and pinch; and the same by keyboard.

const CLICK = 5; // pixels; a press that moves less is a click
const STEP = 0.02; // fraction of the view that an arrow key moves

/** Pointer gestures; `mode()` is "look", "pan" or "lasso". */
export function followPointer(host, map, mode, act) {
  let press = null; // {from, trail}: start and path of a drag, in pixels
  const fingers = new Map(); // pixel of each pointer that is down
  const pixelOf = (event) => {
    const { left, top } = host.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  host.addEventListener("pointerdown", (event) => {
    const pixel = pixelOf(event);
    if (event.button !== 0 || !map.isInside(pixel)) return;
    fingers.set(event.pointerId, pixel);
    host.setPointerCapture(event.pointerId); // so that a drag may leave the map
    if (fingers.size === 1) press = { from: pixel, trail: [pixel] };
    else if (press !== null) {
      press = null; // two fingers zoom
      act.cancel();
    }
  });
  host.addEventListener("pointermove", (event) => {
    const pixel = pixelOf(event);
    if (fingers.size > 1) return pinch(map, fingers, event.pointerId, pixel);
    if (press === null) return map.isInside(pixel) ? act.look(pixel) : act.leave();
    const [px, py] = press.trail.at(-1);
    press.trail.push(pixel);
    if (mode() === "look" && isDrag(press)) act.previewPath(press.from, pixel);
    if (mode() === "lasso") act.draw(press.trail);
    if (mode() === "pan") map.move(pixel[0] - px, pixel[1] - py);
  });
  host.addEventListener("pointerup", (event) => {
    fingers.delete(event.pointerId);
    if (press === null) return;
    const ended = press;
    press = null;
    ended.trail.push(pixelOf(event));
    if (!isDrag(ended)) act.pin(pixelOf(event));
    else if (mode() === "look") act.playPath(ended.from, pixelOf(event));
    else if (mode() === "lasso") act.finishLasso(ended.trail);
  });
  host.addEventListener("pointercancel", (event) => {
    fingers.delete(event.pointerId);
    press = null;
    act.cancel();
  });
  host.addEventListener("pointerleave", () => press === null && act.leave());
  host.addEventListener("wheel", (event) => {
    if (!map.isInside(pixelOf(event))) return;
    event.preventDefault();
    const pixels = event.deltaY * [1, 20, 400][event.deltaMode];
    map.zoom(Math.exp(Math.max(-200, Math.min(200, pixels)) * 0.003), map.toPosition(pixelOf(event)));
  }, { passive: false });
}

// the position between two fingers stays between them
function pinch(map, fingers, id, pixel) {
  if (!fingers.has(id)) return;
  const before = [...fingers.values()];
  fingers.set(id, pixel);
  const now = [...fingers.values()];
  const middle = ([[ax, ay], [bx, by]]) => [(ax + bx) / 2, (ay + by) / 2];
  const distance = ([[ax, ay], [bx, by]]) => Math.max(10, Math.hypot(ax - bx, ay - by));
  const [from, to] = [middle(before), middle(now)];
  map.move(to[0] - from[0], to[1] - from[1]);
  map.zoom(distance(before) / distance(now), map.toPosition(to));
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
