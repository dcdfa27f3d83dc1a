// The user's own files: dropped anywhere on the page, or chosen by button.

/** Call `landed(files)` when files are dropped or chosen. */
export function takeFiles(page, chooser, landed) {
  let depth = 0; // dragenter and dragleave fire for nested elements too
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    page.classList.toggle("dropping", depth > 0);
  };
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  page.addEventListener("dragenter", (event) => carriesFiles(event) && mark(1));
  page.addEventListener("dragleave", (event) => carriesFiles(event) && mark(-1));
  page.addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  page.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    mark(-depth);
    landed([...event.dataTransfer.files]);
  });
  chooser.addEventListener("change", () => {
    landed([...chooser.files]);
    chooser.value = ""; // so that the same file can be chosen again
  });
}
