// The page's menus, switches and buttons, and what the map's gestures do.

import { choices } from "./coloring.js";
import { byId, el, save } from "./dom.js";
import { guarded } from "./errors.js";
import { followKeys, followPointer } from "./gestures.js";
import { followTheme } from "./theme.js";

/** Connect the controls of index.html with a page (see main.js). */
export function connect(page) {
  fill(page);
  listen(page);
  listenToMap(page);
}

function fill({ model, points, source, colorKey }) {
  byId("color-by").append(...choices(model, points).map(([value, text]) => el("option", { value, selected: value === colorKey }, text)));
  byId("sample-class").append(el("option", { value: "" }, "any"), ...model.classes.map((name) => el("option", { value: name }, name)));
  byId("axes-choice").hidden = model.latent_dim <= 2 || !source.canEncode;
  byId("axes-kind").querySelector('[value="pca"]').textContent = model.map_dim === 2 ? "map" : "PCA";
  byId("axes-kind").querySelector('[value="umap"]').hidden = !model.has_umap;
  for (const [id, chosen] of [["x-axis", 0], ["y-axis", 1]]) {
    byId(id).append(...Array.from({ length: model.latent_dim }, (_, k) => el("option", { value: k, selected: k === chosen }, `code ${k + 1}`)));
    byId(id).hidden = true;
  }
}

function listen(page) {
  const { map } = page;
  const on = (id, event, act) => byId(id).addEventListener(event, guarded(act));
  on("color-by", "change", async ({ target }) => {
    await page.recolor(target.value);
    page.note({});
  });
  on("find", "submit", (event) => {
    event.preventDefault();
    page.looking.findRow(byId("find-row").value);
  });
  on("save-picture", "click", () => map.picture(byId("overlay")).toBlob((picture) => save(`${page.model.name}.png`, picture)));
  on("trust", "change", () => page.drawGround());
  on("density", "change", ({ target }) => {
    page.drawGround();
    page.note({ density: target.checked });
  });
  on("zoom-in", "click", () => map.zoom(0.6));
  on("zoom-out", "click", () => map.zoom(1 / 0.6));
  on("zoom-all", "click", () => map.zoomToAll());
  for (const id of ["axes-kind", "x-axis", "y-axis"]) on(id, "change", () => changeAxes(page));
  for (const radio of document.querySelectorAll('input[name="mode"]')) radio.addEventListener("change", () => byId("map").classList.toggle("pan", mode() === "pan"));
  followTheme(byId("theme"), guarded(() => page.recolor(page.colorKey)));
}

const mode = () => document.querySelector('input[name="mode"]:checked').value;

function listenToMap(page) {
  const { looking, paths, overlay, map } = page;
  const act = {
    look: (pixel) => looking.look(pixel),
    moveProbe: (pixel) => looking.moveProbe(pixel),
    leave: () => looking.leave(),
    pin: (pixel) => looking.pin(pixel),
    release: () => page.release(),
    startPath: (pixel) => paths.start(pixel),
    previewPath: (from, to) => paths.preview(from, to),
    playPath: guarded((from, to) => paths.play(from, to)),
    draw: (trail) => {
      overlay.lasso = trail;
      overlay.draw();
    },
    cancel: () => {
      Object.assign(overlay, { lasso: null, path: null });
      looking.leave();
    },
    finishLasso: guarded((trail) => page.finishLasso(trail)),
  };
  followPointer(byId("map"), map, mode, act);
  followKeys(byId("map"), map, act);
  // from anywhere on the page; the map handles Escape itself
  document.addEventListener("keydown", (event) => event.key === "Escape" && page.panel.pinned && page.release());
  new ResizeObserver(() => overlay.draw()).observe(byId("canvas"));
}

async function changeAxes(page) {
  const kind = byId("axes-kind").value;
  const pair = kind === "pair";
  const [x, y] = ["x-axis", "y-axis"].map((id) => {
    byId(id).hidden = !pair;
    return Number(byId(id).value);
  });
  if (pair && x === y) return;
  page.release();
  await page.showPlane(pair ? { x, y } : kind === "umap" ? kind : null);
}
