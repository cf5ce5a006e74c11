import { parentPort } from 'node:worker_threads';

/** Thread of machine-pauses.ts. */

/** Period of the timer, ms. */
const PERIOD_MS = 5;
/** A timer this late was held up by more than the scheduler's turn of another thread, ms. */
const PAUSE_MS_MIN = 25;

if (parentPort !== null) {
  const port = parentPort;
  const nowMs = (): number => performance.timeOrigin + performance.now();
  let dueMs = nowMs() + PERIOD_MS;
  setInterval(() => {
    const atMs = nowMs();
    if (atMs - dueMs > PAUSE_MS_MIN) port.postMessage({ fromMs: dueMs, toMs: atMs });
    dueMs = atMs + PERIOD_MS;
  }, PERIOD_MS);
}
