// Light or dark: what the system prefers, until the reader chooses.

const KEY = "ssavae-theme";
const preference = matchMedia("(prefers-color-scheme: dark)");

/** Whether the page is dark now. */
export const isDark = () => (document.documentElement.dataset.theme ?? (preference.matches ? "dark" : "light")) === "dark";

/** Let a button switch, and say so to whom it concerns. */
export function followTheme(button, changed) {
  const kept = recalled();
  if (kept) document.documentElement.dataset.theme = kept;
  button.addEventListener("click", () => {
    const chosen = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    remember(chosen);
    changed();
  });
  preference.addEventListener("change", changed);
}

// a browser may forbid storage, above all to files from disk
function recalled() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function remember(chosen) {
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // then the choice lasts as long as the page
  }
}
