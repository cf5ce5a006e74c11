import assert from 'node:assert/strict';
import { tableCalls } from '../../../shared/contracts/api/tables.ts';
import type { Case } from '../case.ts';
import { TABLE } from '../world.ts';

export const deleteTable: readonly Case[] = [
  {
    name: 'delete-table runs to its end: table, shards and routes are gone',
    run: async (world) => {
      const { call, adminToken } = world.deployment;
      const started = await world.ok(tableCalls.deleteTable.response, 'DELETE', `/tables/${TABLE}`);
      const operation = await world.succeeded(started.operation_id);
      assert.equal(operation.outcome, 'APPLIED');
      for (const path of [`/tables/${TABLE}`, `/shards?table=${TABLE}`, `/routes/${TABLE}?key=lisbon`]) {
        assert.equal((await call('GET', path, { token: adminToken })).status, 404, path);
      }
      assert.deepEqual(
        (await world.nodes()).map(({ shards }) => shards).filter((shards) => shards > 0),
        [],
      );
    },
  },
];
