import assert from 'node:assert/strict';
import type { Case } from '../case.ts';
import { send } from '../http.ts';
import { eventually } from '../waiting.ts';
import { TABLE } from '../world.ts';

/** A bound of waiting, not of speed. */
const FAILOVER_MS_MAX = 240_000;

export const frozenLeader: readonly Case[] = [
  {
    name: 'a leader that was frozen past its lease serves nobody when it wakes, and joins anew (L3, L4)',
    run: async (world) => {
      const before = await world.shardOf('lisbon');
      const frozen = await world.node(before.leader);
      const token = await world.dataToken('read-write');
      const askFrozen = (verb: 'get' | 'put') =>
        send('POST', `http://${frozen.host}:${frozen.port}/data/${verb}`, {
          token,
          body: {
            ...{ table: TABLE, shard_id: before.shard_id, epoch: before.epoch, key: 'lisbon' },
            ...(verb === 'put' ? { value: 'of the old leader', write_id: 'w-of-the-old-leader' } : {}),
          },
        });
      assert.equal((await askFrozen('get')).status, 200);

      const pid = world.deployment.pidOf(before.leader);
      process.kill(pid, 'SIGSTOP');
      let late: readonly Awaited<ReturnType<typeof send>>[];
      try {
        await eventually('another node leads', FAILOVER_MS_MAX, async () =>
          (await world.shardOf('lisbon')).leader === before.leader ? undefined : true,
        );
        await world.withClient((client) => client.put(TABLE, 'lisbon', { city: 'lisbon', after: 'the freeze' }));
        world.rows.set('lisbon', { city: 'lisbon', after: 'the freeze' });
        // These wait in its sockets, as requests of clients that have not heard of the new leader.
        const waiting = [askFrozen('get'), askFrozen('put')];
        process.kill(pid, 'SIGCONT');
        late = await Promise.all(waiting);
      } finally {
        process.kill(pid, 'SIGCONT');
      }
      for (const answer of late) assert.ok(answer.status >= 400, `it answered as leader: ${JSON.stringify(answer)}`);
      await eventually(`${before.leader} joins anew`, FAILOVER_MS_MAX, async () => {
        const node = await world.node(before.leader);
        return node.status === 'HEALTHY' && node.incarnation !== frozen.incarnation ? true : undefined;
      });
      await world.settled();
      await world.verifyRows();
    },
  },
];
