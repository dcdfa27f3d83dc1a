// Rate limit: the pointer moves faster than rows are decoded, so only its newest position counts.

const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));

/** Wrap `work` so that calls run one at a time, at most one per frame, and only the newest waits. */
export function newestOnly(work) {
  let waiting = null;
  let busy = false;
  return async (job) => {
    waiting = job;
    if (busy) return;
    busy = true;
    while (waiting !== null) {
      await nextFrame();
      const newest = waiting;
      waiting = null;
      await work(newest);
    }
    busy = false;
  };
}
