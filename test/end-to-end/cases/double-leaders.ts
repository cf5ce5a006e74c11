import assert from 'node:assert/strict';
import { readServeLogs } from '../../../bench/load/serve-logs.ts';
import type { Case } from '../case.ts';

/** Rows are written by hundreds before this case; far fewer lines would mean that the logs are not what they should be. */
const ANSWERS_MIN = 100;

export const doubleLeaders: readonly Case[] = [
  {
    name: 'no two nodes ever served one shard at the same time, by what they wrote down themselves (I-4)',
    run: async ({ deployment, note }) => {
      const served = await readServeLogs(deployment.serveLogs);
      assert.ok(served.events >= ANSWERS_MIN, `${served.events} answers noted`);
      assert.deepEqual(served.overlaps(), []);
      note(`${served.events} answers by leaders, 0 double leaders`);
    },
  },
];
