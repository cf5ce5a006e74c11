import { setTimeout as sleep } from 'node:timers/promises';

/** Asked again at this interval until what is waited for is there. */
const POLL_MS = 250;

/** Asks until there is an answer; after `withinMs` fails with `what` and what the last attempt failed with. */
export async function eventually<T>(what: string, withinMs: number, ask: () => Promise<T | undefined>): Promise<T> {
  const endMs = performance.now() + withinMs;
  let problem = '';
  while (performance.now() < endMs) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
      problem = '';
    } catch (error) {
      problem = `; last: ${error instanceof Error ? error.message : String(error)}`;
    }
    await sleep(POLL_MS);
  }
  throw new Error(`${what}: not within ${withinMs} ms${problem}`);
}
