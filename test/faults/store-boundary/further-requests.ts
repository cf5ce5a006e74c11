import { generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import type { CallName } from '../../../shared/contracts/api/index.ts';
import { toTimestamp } from '../../../shared/contracts/primitives.ts';
import { operationId } from '../../../shared/domain/ids.ts';
import type { OperationType } from '../../../shared/domain/records.ts';
import type { ShardDescriptor } from '../../../shared/domain/shard.ts';
import { drainNode } from '../../../shared/usecases/drain-node.ts';
import { sequence } from '../../../shared/usecases/feed.ts';
import { moveShard } from '../../../shared/usecases/move-replica.ts';
import { registerNode } from '../../../shared/usecases/nodes.ts';
import { setPlacementConfig } from '../../../shared/usecases/placement-config.ts';
import { routeChanges } from '../../../shared/usecases/route-changes.ts';
import { splitShard } from '../../../shared/usecases/split-shard.ts';
import { nodePrincipal, registrationOf } from '../../support/use-case-world.ts';
import type { MortalWorld } from '../../support/mortal-world.ts';
import { valuesOf } from '../../support/world-checks.ts';
import { proposeAllCopies, reportAsLeader } from '../move-scenario.ts';
import { expectAnswer, openOperations, operationsOfType, TABLE } from '../scenario-kit.ts';
import { firstShard, NODE_4, ofFirstShard, probe, ROWS } from './probes.ts';
import type { Probe } from './probes.ts';

/** Requests that go ways through a call which its first probe does not take. */

export interface FurtherRequest<N extends CallName = CallName> {
  readonly name: N;
  /** What is special about it. */
  readonly how: string;
  readonly probe: Probe<N>;
  readonly prepare?: (world: MortalWorld) => Promise<void>;
  /** With `If-Match`: the revision that its resource has when it is first sent. */
  readonly withRevision?: boolean;
  /** Its key was claimed by a process that died. */
  readonly claimIsLeft?: boolean;
}

/** What was asked for just before is under way, and waits for copies. */
const UNDER_WAY_MS = 5_000;
/** Longer than a transfer waits for its receipt. */
const SILENCE_MS = 15_000;
/** An operator's pause is no shorter (shared/contracts/api/operations.ts). */
const PAUSE_SECONDS = 60;

const answered = <N extends CallName>(request: FurtherRequest<N>): FurtherRequest => request;

/** A node without a copy of the first shard. */
async function spareNode(world: MortalWorld): Promise<string> {
  const { replicas } = await firstShard(world);
  const spare = [1, 2, 3, 4].map((node) => `node-${node}`).find((node) => replicas.every((one) => one.nodeId !== node));
  if (spare === undefined) throw new Error('every node has a copy');
  return spare;
}

function followerOf({ leader, replicas }: ShardDescriptor): ShardDescriptor['replicas'][number] {
  const follower = replicas.find(({ replicaId }) => replicaId !== leader.replicaId);
  if (follower === undefined) throw new Error('no follower');
  return follower;
}
const toFollower = probe<'setLeader'>(async (world) => ({
  ...(await ofFirstShard(world)),
  body: { new_leader_node_id: followerOf(await firstShard(world)).nodeId },
}));

/** A move of the first shard waits for its new copy. */
async function moveUnderWay(world: MortalWorld): Promise<void> {
  const { shardId } = await firstShard(world);
  const input = { params: { shard_id: shardId }, query: {}, body: { target_node_id: await spareNode(world) } };
  expectAnswer(await world.request('moveShard', 'key-before', input, moveShard));
  await world.base.deps.timers.sleep(UNDER_WAY_MS);
}

/** A drain of the first shard's leader waits for its parts. */
async function drainUnderWay(world: MortalWorld): Promise<void> {
  const { leader } = await firstShard(world);
  const input = { params: { node_id: leader.nodeId }, query: {}, body: {} };
  expectAnswer(await world.request('drainNode', 'key-before', input, drainNode));
  await world.base.deps.timers.sleep(UNDER_WAY_MS);
}
const drained = async (world: MortalWorld) => {
  const [drain] = await operationsOfType(world, 'drain-node');
  return { params: { node_id: (drain?.input as { readonly node_id?: string } | undefined)?.node_id ?? '' } };
};

/** The newest operation of a type. */
const newest = (type: OperationType, body?: object) => async (world: MortalWorld) => {
  const found = (await operationsOfType(world, type)).at(-1);
  if (found === undefined) throw new Error(`no ${type}`);
  return { params: { operation_id: operationId(found.operationId) }, body };
};

/** Times before the first shard was split at `d`. */
const beforeSplit = new WeakMap<MortalWorld, number>();
async function splitAtD(world: MortalWorld): Promise<void> {
  await world.base.deps.timers.sleep(UNDER_WAY_MS);
  beforeSplit.set(world, world.base.deps.clock.wallMs());
  await world.base.deps.timers.sleep(UNDER_WAY_MS);
  const input = { ...(await ofFirstShard(world)), query: {}, body: { split_key: 'd' } };
  expectAnswer(await world.request('splitShard', 'key-before', input, splitShard));
  await world.until(async () => {
    await proposeAllCopies(world);
    return (await openOperations(world)) === 0;
  });
}

/** What was committed so far is in the feeds. */
async function sequenced(world: MortalWorld): Promise<void> {
  const { committed, deps } = world.base;
  await sequence(deps, { versions: valuesOf('routeVersion', committed), decisions: valuesOf('decision', committed) });
}

const barred = (world: MortalWorld): Promise<unknown> =>
  world.base.call('setPlacementConfig', setPlacementConfig, {
    body: {
      rules: [
        { tables: [TABLE], required: [], forbidden: [{ key: 'disk', values: ['tape'] }], leader_preference: null },
      ],
      force: true,
    },
  });

const keys = new WeakMap<MortalWorld, KeyObject>();
async function registeredWithKey(world: MortalWorld): Promise<void> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  keys.set(world, privateKey);
  const { d: _private, ...public_key } = privateKey.export({ format: 'jwk' }) as Record<string, string>;
  const body = { ...registrationOf(8), public_key };
  const joined = await world.base.call('registerNode', registerNode, { body: body });
  if (!joined.ok) throw new Error(joined.error.message);
}
/** By its own key node 8 says who it is. */
function signedByNode8(world: MortalWorld): string {
  const key = keys.get(world);
  if (key === undefined) throw new Error('node-8 has no key');
  const iat = Math.floor(world.base.deps.clock.wallMs() / 1000);
  return jwt.sign({ iss: 'node', sub: 'node-8', aud: 'register', iat, exp: iat + 300 }, key, { algorithm: 'ES256' });
}

export const furtherRequests: readonly FurtherRequest[] = [
  // Reads
  answered({
    name: 'getRoute',
    how: 'as it was before a split',
    prepare: splitAtD,
    probe: probe<'getRoute'>((world) =>
      Promise.resolve({ ...ROWS, query: { key: 'e', at: toTimestamp(beforeSplit.get(world) ?? 0) } }),
    ),
  }),
  answered({
    name: 'getRoute',
    how: 'asked by a node',
    probe: probe<'getRoute'>({ ...ROWS, query: { key: 'k' } }, nodePrincipal(1)),
  }),
  answered({
    name: 'routeChanges',
    how: 'after a snapshot',
    prepare: sequenced,
    probe: probe<'routeChanges'>(async (world) => {
      const given = { ...ROWS, query: { start: 'latest' as const } };
      const latest = await world.base.call('routeChanges', routeChanges, given);
      if (!latest.ok) throw new Error(latest.error.message);
      return { ...ROWS, query: { cursor: latest.value.next_cursor } };
    }),
  }),
  answered({
    name: 'batchRoutes',
    how: 'a page of a table',
    probe: probe<'batchRoutes'>({ ...ROWS, body: { from_key: null } }),
  }),
  answered({ name: 'listShards', how: 'of a node', probe: probe<'listShards'>({ query: { node: 'node-1' } }) }),
  answered({ name: 'listShards', how: 'of all tables', probe: probe<'listShards'>() }),
  answered({
    name: 'listDecisions',
    how: 'of a shard',
    probe: probe<'listDecisions'>(async (world) => ({
      query: { entity: `shard:${(await firstShard(world)).shardId}` },
    })),
  }),
  answered({
    name: 'listDecisions',
    how: 'from the feed',
    prepare: async (world) => {
      await moveUnderWay(world);
      await sequenced(world);
    },
    probe: probe<'listDecisions'>(),
  }),
  answered({
    name: 'recoverShards',
    how: 'one shard',
    probe: probe<'recoverShards'>(async (world) => ({
      body: { shard_id: (await firstShard(world)).shardId, dry_run: true },
    })),
  }),

  // Operations
  answered({
    name: 'mergeShards',
    how: 'with the right neighbour, under a placement rule',
    prepare: async (world) => void (await barred(world)),
    probe: probe<'mergeShards'>(async (world) => ({ ...(await ofFirstShard(world)), body: {} })),
  }),
  answered({
    name: 'rebalanceShards',
    how: 'one table',
    probe: probe<'rebalanceShards'>({ body: { mode: 'scatter', table: TABLE } }),
  }),
  answered({
    name: 'moveShard',
    how: 'into a zone that has a copy',
    prepare: async (world) => {
      const { leader } = await firstShard(world);
      const body = { ...registrationOf(5), zone: `z${leader.nodeId.slice('node-'.length)}` };
      const joined = await world.base.call('registerNode', registerNode, { body });
      if (!joined.ok) throw new Error(joined.error.message);
    },
    probe: probe<'moveShard'>(async (world) => {
      const { leader, replicas } = await firstShard(world);
      const source = replicas.find(({ nodeId: node }) => node !== leader.nodeId)?.nodeId;
      return { ...(await ofFirstShard(world)), body: { target_node_id: 'node-5', source_node_id: source } };
    }),
  }),
  answered({
    name: 'setLeader',
    how: 'to a node without a copy',
    probe: probe<'setLeader'>(async (world) => ({
      ...(await ofFirstShard(world)),
      body: { new_leader_node_id: await spareNode(world) },
    })),
  }),
  answered({
    name: 'setLeader',
    how: 'to a copy that lags',
    prepare: async (world) => {
      const shard = await firstShard(world);
      const copy = followerOf(shard);
      const { shardId: shard_id, epoch, generation } = shard;
      const { replicaId: replica_id, nodeEpoch: node_epoch, storeUuid: store_uuid } = copy;
      const of = { shard_id, epoch, generation, replica_id, node_epoch, store_uuid };
      await reportAsLeader(world, shard, { type: 'replica_status', ...of, sync_status: 'LAGGING' });
    },
    probe: toFollower,
  }),
  answered({
    name: 'setLeader',
    how: 'while the leader does not answer',
    prepare: (world) => Promise.resolve(world.silenceNodes(SILENCE_MS)),
    probe: toFollower,
  }),
  answered({
    name: 'pauseOperation',
    how: 'a move under way',
    prepare: moveUnderWay,
    probe: probe<'pauseOperation'>(newest('move-replica', { seconds: PAUSE_SECONDS })),
  }),
  answered({
    name: 'pauseOperation',
    how: 'a part of a drain',
    prepare: drainUnderWay,
    probe: probe<'pauseOperation'>(newest('move-replica', { seconds: PAUSE_SECONDS })),
  }),
  answered({
    name: 'cancelOperation',
    how: 'a move under way',
    prepare: moveUnderWay,
    probe: probe<'cancelOperation'>(newest('move-replica')),
  }),
  answered({
    name: 'cancelOperation',
    how: 'a drain under way',
    prepare: drainUnderWay,
    probe: probe<'cancelOperation'>(newest('drain-node')),
  }),
  answered({
    name: 'uncordonNode',
    how: 'while it is drained',
    prepare: drainUnderWay,
    probe: probe<'uncordonNode'>(drained),
  }),

  // Who asks, and what it saw
  answered({
    name: 'registerNode',
    how: 'by its own key',
    prepare: registeredWithKey,
    probe: {
      ...probe<'registerNode'>({ body: { ...registrationOf(8), incarnation: 'inc-8' } }),
      token: signedByNode8,
    },
  }),
  answered({
    name: 'setLeader',
    how: 'with If-Match',
    withRevision: true,
    probe: toFollower,
  }),
  answered({
    name: 'setNodePlacement',
    how: 'with If-Match',
    withRevision: true,
    probe: probe<'setNodePlacement'>({ ...NODE_4, body: { capacity_weight: 2 } }),
  }),
  answered({
    name: 'setTableReplication',
    how: 'with If-Match',
    withRevision: true,
    probe: probe<'setTableReplication'>({ ...ROWS, body: { replication_factor: 2 } }),
  }),
  answered({
    name: 'setRebalanceConfig',
    how: 'with If-Match',
    withRevision: true,
    probe: probe<'setRebalanceConfig'>({ body: { moves_per_hour: 50 } }),
  }),
  answered({
    name: 'cancelOperation',
    how: 'a move under way, with If-Match',
    prepare: moveUnderWay,
    withRevision: true,
    probe: probe<'cancelOperation'>(newest('move-replica')),
  }),
  answered({
    name: 'splitShard',
    how: 'under a key whose first holder died',
    claimIsLeft: true,
    probe: probe<'splitShard'>(async (world) => ({ ...(await ofFirstShard(world)), body: { split_key: 'd' } })),
  }),
];
