// What hands do on the map: point, click, drag, lasso; and the same by keyboard.

const CLICK = 5; // pixels within which a press is a click
const STEP = 0.02; // of the view, an arrow key

/** Pointer gestures; `mode()` is "look", "pan" or "lasso". Moving and zooming are plotly's. */
export function followPointer(host, map, mode, act) {
  let press = null; // {from, trail}: where a drag of ours began, and its way in pixels
  const pixelOf = (event) => {
    const { left, top } = host.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  host.addEventListener("pointerdown", (event) => {
    const pixel = pixelOf(event);
    if (event.button !== 0 || !map.isInside(pixel)) return;
    press = { from: pixel, trail: [pixel] };
    // a drag of ours goes on beyond the map's rim
    if (mode() !== "pan") host.setPointerCapture(event.pointerId);
  });
  host.addEventListener("pointermove", (event) => {
    const pixel = pixelOf(event);
    if (press === null) return map.isInside(pixel) ? act.look(pixel) : act.leave();
    press.trail.push(pixel);
    if (mode() === "look" && isDrag(press)) act.stretch(press.from, pixel);
    if (mode() === "lasso") act.draw(press.trail);
  });
  // while plotly moves the map, pointers are over a sheet of its own
  window.addEventListener("pointerup", (event) => {
    if (press === null) return;
    const ended = press;
    press = null;
    ended.trail.push(pixelOf(event));
    if (!isDrag(ended)) act.hold(pixelOf(event));
    else if (mode() === "look") act.go(ended.from, pixelOf(event));
    else if (mode() === "lasso") act.enclose(ended.trail);
  });
  window.addEventListener("pointercancel", () => {
    press = null;
    act.leave();
  });
  host.addEventListener("pointerleave", () => press === null && act.leave());
}

const isDrag = ({ from, trail }) => trail.some(([x, y]) => Math.hypot(x - from[0], y - from[1]) > CLICK);

/** The probe by keyboard: arrows move it, Enter marks both ends of a way, Space holds, Escape lets go. */
export function followKeys(host, map, act) {
  let place = null;
  let start = null;
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const move = ([dx, dy], far) => {
    const [x0, x1, y0, y1] = map.range;
    const [x, y] = place ?? map.middle();
    const step = STEP * (far ? 5 : 1);
    const within = (value, low, high) => Math.max(low, Math.min(high, value));
    place = [within(x + dx * step * (x1 - x0), x0, x1), within(y + dy * step * (y1 - y0), y0, y1)];
    act.roam(map.toPixel(place));
  };
  const mark = () => {
    place ??= map.middle();
    const pixel = map.toPixel(place);
    if (start === null) act.begin(pixel);
    else act.go(map.toPixel(start), pixel);
    start = start === null ? place : null;
  };
  const keys = {
    Enter: mark,
    " ": () => act.hold(map.toPixel(place ?? map.middle())),
    Escape: () => {
      start = null;
      act.release();
    },
    "+": () => map.zoom(0.7, place ?? map.middle()),
    "-": () => map.zoom(1 / 0.7, place ?? map.middle()),
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
