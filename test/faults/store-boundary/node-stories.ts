import { nodeId } from '../../../shared/domain/ids.ts';
import type { CommandAck } from '../../../shared/contracts/node/commands.ts';
import { heartbeat } from '../../../shared/usecases/heartbeat.ts';
import { createJoinToken, registerNode } from '../../../shared/usecases/nodes.ts';
import { setLeader } from '../../../shared/usecases/transfer-leader.ts';
import { nodePrincipal, registrationOf } from '../../support/use-case-world.ts';
import type { MortalWorld } from '../../support/mortal-world.ts';
import { checkHistory, valuesOf } from '../../support/world-checks.ts';
import { createdTable, expectAnswer, expectThat, onlyShard, shardsOf, ticksOff } from '../scenario-kit.ts';
import { reportedBy, untilDone } from './attempts.ts';
import type { Story } from './stories.ts';

/** What comes from nodes by other ways than plain beats: a full disk, a join token, a receipt that comes late. */

const TWO_SHARDS = { pre_split: ['h'], replication_factor: 3 };
const ROUNDS_MAX = 60;
/** Statistics ride on every tenth beat. */
const STATS_MS = 10_000;
/** Above the sequences of the beats of the world's own nodes. */
const FIRST_SEQUENCE = 100_000;

const numberOf = (node: string): number => Number(node.slice('node-'.length));

const statsOf = (disk_full: boolean) => ({
  shards: 2,
  leaders: 1,
  bytes: 0,
  requests_per_second: 10,
  fsync_ms_p99: 2,
  client_ms_p99: 4,
  disk_full,
  busiest: [],
});

const toldStats = (world: MortalWorld, node: number, sequence: number, full: boolean): Promise<void> =>
  untilDone(world, 'api-heartbeat', async (deps, attempt) => {
    const number = sequence + attempt;
    const lease = { node_epoch: 1, incarnation: `inc-${node}`, sequence: number, attestation: number };
    const input = { params: { node_id: `node-${node}` }, query: {}, body: { ...lease, stats: statsOf(full) } };
    return (await heartbeat(deps, nodePrincipal(node), input)).ok;
  });

/** A node tells of its full disk until the reconcile tick has taken its leaderships off, then that it has room again. */
const fullDisk: Story = {
  name: 'full disk',
  prepare: async (world) => {
    await ticksOff(world);
    await createdTable(world, TWO_SHARDS);
  },
  act: async (world) => {
    const node = numberOf((await shardsOf(world))[0]?.leader.nodeId ?? '');
    const leads = async (): Promise<boolean> =>
      (await shardsOf(world)).some(({ leader, intent }) => numberOf(leader.nodeId) === node || intent !== null);
    for (let round = 1; round <= ROUNDS_MAX; round++) {
      const isFull = await leads();
      await toldStats(world, node, FIRST_SEQUENCE + 100 * round, isFull);
      await world.base.deps.timers.sleep(STATS_MS);
      const paces = await world.base.records.query('nodePace', { partition: {}, order: 'forward', limit: 10 });
      if (!isFull && paces.items.every(({ value }) => value.disk === 'OK')) return [];
    }
    return ['its leaderships stayed where they were'];
  },
  moveOn: (world) => world.base.deps.timers.sleep(15_000),
  judge: async (world) => {
    const told = valuesOf('nodePace', world.base.committed).map(({ disk }) => disk);
    return [
      ...checkHistory(world.base.committed, world.receipts),
      ...expectThat(told.includes('FULL'), 'the full disk was not noted'),
    ];
  },
};

/** One token, one node: whoever repeats its registration gets the same answer, and nobody else gets in. */
const joinToken: Story = {
  name: 'join token',
  prepare: ticksOff,
  act: async (world) => {
    const input = { params: {}, query: {}, body: { lifetime_seconds: 600 } };
    expectAnswer(await world.request('createJoinToken', 'key-token', input, createJoinToken));
    const token = valuesOf('joinToken', world.base.committed).at(-1);
    if (token === undefined) return ['there is no token'];
    const bearer = { kind: 'joiner', tokenId: token.tokenId } as const;
    const codes: string[] = [];
    const registers = (node: number): Promise<void> =>
      untilDone(world, 'api-registerNode', async (deps) => {
        const answer = await registerNode(deps, bearer, { params: {}, query: {}, body: registrationOf(node) });
        codes.push(answer.ok ? `node-${node}` : answer.error.code);
        // Refused for good or for now: a refusal of the token is an end.
        return answer.ok || answer.error.code === 'JOIN_TOKEN_USED';
      });
    await registers(7);
    await registers(7);
    await registers(8);
    return expectThat(
      codes.filter((code) => code !== 'CONFLICT').join() === 'node-7,node-7,JOIN_TOKEN_USED',
      codes.join(),
    );
  },
  moveOn: (world) => world.base.deps.timers.sleep(2_000),
  judge: async (world) => {
    const seven = await world.base.liveness(7);
    const eight = await world.base.records.get('liveness', { nodeId: nodeId('node-8') });
    return [
      ...checkHistory(world.base.committed, world.receipts),
      ...expectThat(seven.nodeEpoch === 1 && seven.incarnation === 'inc-7', `node-7 is ${JSON.stringify(seven)}`),
      ...expectThat(eight === null, 'node-8 got in'),
    ];
  },
};

/** No push reaches the leader: its receipt comes with a report, while the request waits (E2). */
const lateReceipt: Story = {
  name: 'late receipt',
  prepare: async (world) => {
    await ticksOff(world);
    await createdTable(world, { replication_factor: 3 });
  },
  act: async (world) => {
    world.silenceNodes(ROUNDS_MAX * STATS_MS);
    const { shardId, leader, replicas } = await onlyShard(world);
    const target = replicas.find(({ replicaId }) => replicaId !== leader.replicaId);
    if (target === undefined) return ['no follower'];
    const input = { params: { shard_id: shardId }, query: {}, body: { new_leader_node_id: target.nodeId } };
    const asked = world.request('setLeader', 'key-lead', input, setLeader);
    const isThere = async (): Promise<boolean> => (await onlyShard(world)).leader.nodeId === target.nodeId;
    for (let round = 0; round < ROUNDS_MAX && !(await isThere()); round++) {
      const { epoch, generation, intent } = await onlyShard(world);
      if (intent !== null) {
        const of = { shard_id: shardId, replica_id: leader.replicaId, epoch, generation };
        const told = { ...of, command_id: `cmd-${round}`, type: 'step_down', node_id: leader.nodeId, related: null };
        const { receipt } = world.copies.obey(told) as unknown as CommandAck;
        if (receipt !== null) await reportedBy(world, numberOf(leader.nodeId), [{ type: 'step_down_receipt', ...of }]);
      }
      await world.base.deps.timers.sleep(1_000);
    }
    expectAnswer(await asked);
    return expectThat(await isThere(), 'the leadership stayed where it was');
  },
  moveOn: (world) => world.base.deps.timers.sleep(2_000),
  judge: async (world) => {
    const { epoch } = await onlyShard(world);
    return [
      ...checkHistory(world.base.committed, world.receipts),
      ...expectThat((epoch as number) === 2, `epoch ${epoch}`),
    ];
  },
};

export const nodeStories: readonly Story[] = [fullDisk, joinToken, lateReceipt];
