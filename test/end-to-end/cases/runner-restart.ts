import assert from 'node:assert/strict';
import type { Case } from '../case.ts';
import { isAlive } from '../processes.ts';
import { TABLE } from '../world.ts';

export const runnerRestart: readonly Case[] = [
  {
    name: 'Ctrl-C ends every process; the next start goes on with the data',
    only: 'local',
    run: async (world) => {
      const before = await world.deployment.restartAll();
      for (const pid of before) assert.ok(!isAlive(pid), `process ${pid} ended`);
      await world.settled();
      await world.withClient((client) => client.put(TABLE, 'after-restart', 1));
      world.rows.set('after-restart', 1);
      await world.verifyRows();
    },
  },
];
