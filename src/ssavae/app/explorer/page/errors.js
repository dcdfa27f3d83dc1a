// Error messages at the top of the page.

import { ServerUnreachable } from "./api.js";
import { byId, el } from "./dom.js";

/** Wrap a function so that its errors are shown to the user. */
export function guarded(act) {
  return async (...args) => {
    try {
      return await act(...args);
    } catch (error) {
      showError(error);
    }
  };
}

// an error stays until it is dismissed, "does not answer" until the server answers again
function showError(error) {
  const isUnreachable = error instanceof ServerUnreachable;
  const [text, act] = isUnreachable ? ["Try again", () => location.reload()] : ["Dismiss", hideError];
  byId("error").replaceChildren(error.message, el("button", { type: "button", onclick: act }, text));
  Object.assign(byId("error"), { hidden: false, isUnreachable });
}

export function hideError() {
  byId("error").hidden = true;
}

/** The server has answered: remove "does not answer". */
export function noteAnswer() {
  if (byId("error").isUnreachable) hideError();
}
