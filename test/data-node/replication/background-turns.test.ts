import { BackgroundTurns } from '../../../data-node/replication/background-turns.ts';
import type { Environment } from '../../../data-node/ports.ts';

/** An environment whose clock moves only by what a turn takes and by pauses, which are noted. */
function paced(): { env: Environment; pauses: number[]; turnTakes: (ms: number) => void } {
  let nowMs = 0;
  const pauses: number[] = [];
  const env = {
    clock: { monotonicMs: () => nowMs, wallMs: () => nowMs },
    timers: {
      sleep: (ms: number): Promise<void> => {
        pauses.push(ms);
        nowMs += ms;
        return Promise.resolve();
      },
    },
  } as unknown as Environment;
  return { env, pauses, turnTakes: (ms) => void (nowMs += ms) };
}

test('turns that hold the thread too long get shorter, and the pauses after them are longer than they were', async () => {
  const { env, pauses, turnTakes } = paced();
  const turns = new BackgroundTurns(env);
  const keys = [turns.keys];
  for (const takesMs of [8, 4, 2, 1]) {
    const beganMs = turns.begin();
    turnTakes(takesMs);
    await turns.rest(beganMs);
    keys.push(turns.keys);
  }
  expect(keys).toEqual([128, 64, 32, 16, 16]);
  expect(pauses).toEqual([32, 16, 8, 4]);
});

test('small rows are taken in large turns again, and a turn never shrinks to nothing', async () => {
  const { env, pauses, turnTakes } = paced();
  const turns = new BackgroundTurns(env);
  for (let turn = 0; turn < 20; turn++) {
    const beganMs = turns.begin();
    turnTakes(50);
    await turns.rest(beganMs);
  }
  expect(turns.keys).toBe(4);
  for (let turn = 0; turn < 20; turn++) await turns.rest(turns.begin());
  expect(turns.keys).toBe(128);
  expect(pauses.at(-1)).toBe(1);
});
