import assert from 'node:assert/strict';
import { decisionCalls } from '../../../shared/contracts/api/decisions.ts';
import type { Case } from '../case.ts';
import type { Deployment } from '../deployment.ts';
import { Registers } from '../registers.ts';
import { eventually } from '../waiting.ts';
import { TABLE } from '../world.ts';
import type { World } from '../world.ts';
import { Writers } from '../writers.ts';

/** A bound of waiting, not of speed: the emulator's rule fires once a minute. The time it took is printed. */
const FAILOVER_MS_MAX = 240_000;
const WRITING_MS_MAX = 60_000;
const EVENT_MS_MAX = 60_000;
/** Rows by each run of the writers before the kill and after the failover, at least. */
const ROWS_MIN = 60;

/** What the cases of one run pass on. */
interface Killed {
  readonly nodeId: string;
  readonly pid: number;
  readonly nodeEpoch: number;
  readonly incarnation: string | null;
  readonly shardsLed: readonly string[];
}
let killed: Killed | null = null;

const wasKilled = (): Killed => {
  assert.ok(killed !== null, 'a leader was killed before');
  return killed;
};

const acknowledgedMore = (what: string, writers: Writers): Promise<true> => {
  const wanted = writers.acknowledged + ROWS_MIN;
  return eventually(what, WRITING_MS_MAX, async () => (writers.acknowledged >= wanted ? true : undefined));
};

/** Kills the process that leads most shards. */
async function killLeader(world: World<Deployment>): Promise<Killed> {
  const shards = await world.shards();
  const { leader: nodeId } = await world.shardOf('lisbon');
  const { node_epoch: nodeEpoch, incarnation } = await world.node(nodeId);
  const pid = world.deployment.pidOf(nodeId);
  process.kill(pid, 'SIGKILL');
  const shardsLed = shards.filter(({ leader }) => leader === nodeId).map(({ shard_id }) => shard_id);
  return { nodeId, pid, nodeEpoch, incarnation, shardsLed };
}

export const failover: readonly Case[] = [
  {
    name: 'kill -9 of a leader’s process under writes: its shards get other leaders, and writes go on',
    run: async (world) => {
      await world.withClient(async (client) => {
        await client.prefetch(TABLE);
        const writers = new Writers(client, ['failover-a', 'h-failover', 'q-failover'], world.rows);
        const registers = new Registers(client);
        let pauseMs: number;
        let histories: string;
        try {
          await acknowledgedMore('writes before the kill', writers);
          killed = await killLeader(world);
          const { nodeId, shardsLed } = killed;
          await eventually('the dead leader’s shards are led by others', FAILOVER_MS_MAX, async () => {
            const shards = (await world.shards()).filter(({ shard_id }) => shardsLed.includes(shard_id));
            return shards.every(({ leader }) => leader !== nodeId) ? true : undefined;
          });
          await client.put(TABLE, 'lisbon', { city: 'lisbon', after: 'the crash' });
          world.rows.set('lisbon', { city: 'lisbon', after: 'the crash' });
          await acknowledgedMore('writes after the failover', writers);
        } finally {
          [pauseMs, histories] = await Promise.all([writers.stop(), registers.check()]);
        }
        world.note(histories);
        world.note(
          `${nodeOf(killed)}: longest time without an acknowledged write to its shards ${(pauseMs / 1000).toFixed(1)} s`,
        );
      });
    },
  },
  {
    name: 'every acknowledged row is there afterwards (I-6)',
    run: async (world) => {
      const found = await world.verifyRows();
      world.note(`${world.rows.size} acknowledged rows, ${found} read, none lost`);
    },
  },
  {
    name: 'the journal tells the fence, and why the new leader was chosen over the dead one',
    run: async (world) => {
      const { nodeId, shardsLed } = wasKilled();
      const [shard] = shardsLed;
      const journal = (entity: string, code: string) =>
        eventually(`${code} of ${entity} is in the journal`, EVENT_MS_MAX, async () => {
          const path = `/decisions?entity=${entity}&code=${code}&limit=100`;
          return (await world.ok(decisionCalls.listDecisions.response, 'GET', path)).decisions[0];
        });
      await journal(`node:${nodeId}`, 'FENCED');
      const election = await journal(`shard:${shard}`, 'ELECTED');
      assert.ok(JSON.stringify(election.inputs).includes(nodeId), JSON.stringify(election));
    },
  },
  {
    name: 'fence and new leaders are told on the bus',
    only: 'cloud',
    run: async (world) => {
      const { nodeId, shardsLed } = wasKilled();
      await world.deployment.event('NODE_FENCED', { node_id: nodeId }, EVENT_MS_MAX);
      for (const shard_id of shardsLed) {
        await world.deployment.event('LEADER_CHANGED', { shard_id, from: nodeId }, EVENT_MS_MAX);
      }
    },
  },
  {
    name: 'the dead node starts again as a new incarnation, and its replicas catch up (L4, R2)',
    run: async (world) => {
      const { nodeId, pid, nodeEpoch, incarnation } = wasKilled();
      await world.deployment.restarted(nodeId, pid);
      const again = await eventually(`${nodeId} is healthy again`, FAILOVER_MS_MAX, async () => {
        const node = await world.node(nodeId);
        return node.status === 'HEALTHY' && node.incarnation !== incarnation ? node : undefined;
      });
      assert.ok(again.node_epoch > nodeEpoch);
      await world.settled();
      await world.verifyRows();
    },
  },
];

const nodeOf = (of: Killed | null): string => of?.nodeId ?? 'no node';
