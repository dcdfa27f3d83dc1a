// What went wrong, said in a line at the top of the page.

import { ServerGone } from "./api.js";
import { byId, el } from "./dom.js";

/** Wrap what may fail, so that the reader is told. */
export function guarded(act) {
  return async (...args) => {
    try {
      return await act(...args);
    } catch (error) {
      showError(error);
    }
  };
}

// what is wrong stands there until it is dismissed; that nobody answers, until somebody does
function showError(error) {
  const gone = error instanceof ServerGone;
  const [text, act] = gone ? ["Try again", () => location.reload()] : ["Dismiss", hideError];
  byId("error").replaceChildren(error.message, el("button", { type: "button", onclick: act }, text));
  Object.assign(byId("error"), { hidden: false, gone });
}

export function hideError() {
  byId("error").hidden = true;
}

/** The server has answered: it is there again. */
export function noteAnswer() {
  if (byId("error").gone) hideError();
}
