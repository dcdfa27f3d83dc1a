// Light or dark theme: the system's preference, until the user chooses.

const KEY = "ssavae-theme";
const preference = matchMedia("(prefers-color-scheme: dark)");

// with this import, before anything is drawn: what is drawn later asks isDark
const stored = recall();
if (stored) document.documentElement.dataset.theme = stored;

/** Whether the page is dark now. */
export const isDark = () => (document.documentElement.dataset.theme ?? (preference.matches ? "dark" : "light")) === "dark";

/** Let a button switch the theme, and call `changed` when it changes. */
export function followTheme(button, changed) {
  button.addEventListener("click", () => {
    const chosen = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    remember(chosen);
    changed();
  });
  preference.addEventListener("change", changed);
}

// browsers may forbid storage, especially for files opened from disk
function recall() {
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
    // the choice is lost when the page closes
  }
}
