import assert from 'node:assert/strict';
import type { Case } from '../case.ts';
import { isAlive } from '../processes.ts';
import { elsewhere, TABLE } from '../world.ts';
import { whileMoveWaits } from './operation-control.ts';

const KEY = 'tokyo';

export const runnerRestart: readonly Case[] = [
  {
    name: 'Ctrl-C ends every process, a move under way too; the next start goes on with the data, and with the move',
    only: 'local',
    run: async (world) => {
      await world.settled();
      const before = await world.shardOf(KEY);
      const target = elsewhere(world, before);
      let restarted: Promise<readonly number[]> | undefined;
      const waiting = await whileMoveWaits(world, before, target, async (operation) => {
        restarted = world.deployment.restartAll();
        return operation;
      });
      for (const pid of (await restarted) ?? []) assert.ok(!isAlive(pid), `process ${pid} ended`);
      const operation = await world.succeeded(waiting.operation_id);
      assert.ok(operation.steps.length > waiting.steps.length);
      assert.ok((await world.shardOf(KEY)).replicas.includes(target));
      await world.settled();
      await world.withClient((client) => client.put(TABLE, 'after-restart', 1));
      world.rows.set('after-restart', 1);
      await world.verifyRows();
    },
  },
];
