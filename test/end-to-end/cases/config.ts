import assert from 'node:assert/strict';
import type { Case } from '../case.ts';

export const config: readonly Case[] = [
  {
    name: 'the replication configuration is told (call 7)',
    run: async ({ deployment: { call, adminToken } }) => {
      const answer = await call('GET', '/config/replication', { token: adminToken });
      assert.deepEqual(answer.body, { replication_factor: 3, strategy: 'rack-aware' });
    },
  },
];
