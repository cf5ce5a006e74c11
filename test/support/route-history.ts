import type { EncodedKey } from '../../shared/domain/ids.ts';
import { encodedKey, epoch, generation, nodeId, replicaId, shardId, tableId } from '../../shared/domain/ids.ts';
import { compareKeys } from '../../shared/domain/keys.ts';
import type { DecisionRecord, RouteState, RouteVersion } from '../../shared/domain/records.ts';
import { routeStateOf } from '../../shared/domain/route-history.ts';
import type { Replica, ShardDescriptor } from '../../shared/domain/shard.ts';
import type { Change, LocatedShard, ShardDirectory } from '../../shared/ports.ts';
import { collect, isFeedTable, nothingSequenced } from '../../shared/runtime/feed-stream.ts';
import { aReplica, aShard } from './shards.ts';
import { hastyTimers, seededRandom } from './environment.ts';
import { useCaseWorld } from './use-case-world.ts';
import type { UseCaseWorld } from './use-case-world.ts';

/** A table whose shards change at random: leaders, replicas, splits and merges, each by its real commit; and the truth about it. */

export const TABLE = 'cities';
export const TABLE_ID = tableId('table-1');
const AUDIT = { principal: 'test', action: 'TEST' };
const NODES = [1, 2, 3, 4, 5];

export interface Committed {
  readonly atMs: number;
  /** The table's shards by start key, as they were from then on. */
  readonly shards: readonly ShardDescriptor[];
}

export interface RouteWorld extends UseCaseWorld {
  /** Versions and decisions that were committed since the last call, in the order of the commits. */
  newlyCommitted(): { versions: RouteVersion[]; decisions: DecisionRecord[] };
  /** Everything that the table was. */
  readonly history: Committed[];
  /** All shards of the table, strongly read. */
  present(): Promise<readonly ShardDescriptor[]>;
}

export async function routeWorld(): Promise<RouteWorld> {
  const world = useCaseWorld({ timers: hastyTimers });
  const createdAtMs = world.clock.wallMs();
  await world.records.commit({
    writes: [
      {
        kind: 'put',
        entity: 'table',
        value: {
          table: aShard().table,
          tableId: TABLE_ID,
          keyType: 'string',
          state: 'ACTIVE',
          replicationFactor: 3,
          replicationFactorIsOwn: false,
          shardCount: 2,
          operationId: 'op-1' as never,
          createdAtMs,
        },
        when: [{ kind: 'absent' }],
      },
    ],
    audit: [{ entity: 'table:table-1', number: 1, ...AUDIT, detail: null }],
    events: [],
  });
  world.clock.advance(10);
  const over = {
    createdAtMs: world.clock.wallMs(),
    leaderSinceMs: world.clock.wallMs(),
    boundsSinceMs: world.clock.wallMs(),
  };
  await world.directory.append(
    TABLE_ID,
    [aShard({ id: 's-a', end: 'k', over }), aShard({ id: 's-b', start: 'k', leader: 2, over })],
    AUDIT,
  );
  const present = async (): Promise<readonly ShardDescriptor[]> => {
    const { shards } = await world.newDirectory().scan(TABLE_ID, { fromKey: encodedKey(''), limit: 1000 });
    return shards.map(({ shard }) => shard);
  };
  let seen = world.committed.length;
  return {
    ...world,
    history: [{ atMs: world.clock.wallMs(), shards: await present() }],
    present,
    newlyCommitted: () => {
      const collected = nothingSequenced();
      for (const writes of world.committed.slice(seen))
        for (const { key, before, after } of writes)
          if (isFeedTable(key) && before === null && after !== null) collect(collected, key, after.body);
      seen = world.committed.length;
      return collected;
    },
  };
}

/** A change in two halves: what it was made from was read, and it commits later, or finds that it came too late. */
export interface Pending {
  commit(): Promise<boolean>;
}

/** Reads what a random change needs. Null: this one is not possible now. */
export async function begin(
  world: RouteWorld,
  directory: ShardDirectory,
  random: () => number,
  unique: () => string,
): Promise<Pending | null> {
  const all = (await directory.scan(TABLE_ID, { fromKey: encodedKey(''), limit: 1000 })).shards;
  const index = Math.floor(random() * all.length);
  const located = all[index]!;
  const kind = random();
  if (kind < 0.45) return leaderChange(world, directory, located, random);
  if (kind < 0.6) return replicaChange(world, directory, located, random);
  if (kind < 0.8) return split(world, directory, located, random, unique);
  const right = all[index + 1];
  return right === undefined ? null : merge(world, directory, located, right);
}

const pending = (world: RouteWorld, change: () => Promise<Change | null>): Pending => ({
  commit: async () => {
    const made = await change();
    return made !== null && (await world.records.commit(made)).ok;
  },
});

const entryOf = (shard: ShardDescriptor): Change['audit'][number] => ({
  entity: `shard:${shard.shardId}`,
  number: shard.generation,
  ...AUDIT,
  detail: null,
});

function replace(world: RouteWorld, directory: ShardDirectory, from: LocatedShard, to: ShardDescriptor): Pending {
  return pending(world, () =>
    Promise.resolve({ writes: directory.replaceWrites(from, to), audit: [entryOf(to)], events: [] }),
  );
}

function leaderChange(world: RouteWorld, directory: ShardDirectory, from: LocatedShard, random: () => number): Pending {
  const { shard } = from;
  const leader = shard.replicas[Math.floor(random() * shard.replicas.length)]!;
  return replace(world, directory, from, {
    ...shard,
    epoch: epoch(shard.epoch + 1),
    generation: generation(shard.generation + 1),
    leader: { replicaId: leader.replicaId, nodeId: leader.nodeId, nodeEpoch: leader.nodeEpoch },
    leaderSinceMs: world.clock.wallMs(),
  });
}

/** A follower moves to another node; or only its status changes, which is no change of the route. */
function replicaChange(
  world: RouteWorld,
  directory: ShardDirectory,
  from: LocatedShard,
  random: () => number,
): Pending {
  const { shard } = from;
  const next = { ...shard, generation: generation(shard.generation + 1) };
  const followers = shard.replicas.filter(({ nodeId: on }) => on !== shard.leader.nodeId);
  const leaving = followers[Math.floor(random() * followers.length)]!;
  const free = NODES.filter((node) => shard.replicas.every(({ nodeId: on }) => on !== nodeId(`node-${node}`)));
  const status = random() < 0.3;
  const swap = (replica: Replica): Replica => {
    if (replica !== leaving) return replica;
    if (status) return { ...replica, syncStatus: replica.syncStatus === 'IN_SYNC' ? 'LAGGING' : 'IN_SYNC' };
    return {
      ...aReplica(free[Math.floor(random() * free.length)]!),
      replicaId: replicaId(`${shard.shardId}-${next.generation}`),
    };
  };
  return replace(world, directory, from, { ...next, replicas: shard.replicas.map(swap) });
}

function split(
  world: RouteWorld,
  directory: ShardDirectory,
  from: LocatedShard,
  random: () => number,
  unique: () => string,
): Pending | null {
  const { shard } = from;
  const key = middle(shard, random);
  if (key === null) return null;
  const id = shardId(`s-${unique()}`);
  const next = generation(shard.generation + 1);
  return pending(world, async () => {
    const boundsSinceMs = world.clock.wallMs();
    const parent = { ...shard, generation: next, endKey: key, boundsSinceMs };
    const child: ShardDescriptor = {
      ...shard,
      shardId: id,
      startKey: key,
      generation: next,
      epoch: epoch(shard.epoch + 1),
      boundsSinceMs,
      createdAtMs: boundsSinceMs,
      leaderSinceMs: boundsSinceMs,
    };
    const change = await directory.splitWrites(from, { parent, child }, AUDIT);
    if (change === 'PAGE_FULL') await directory.makeRoom(from.page, { ...AUDIT, action: 'PAGE_SPLIT' });
    if (typeof change === 'string') return null;
    return { writes: change.writes, audit: [...change.audit, entryOf(parent), entryOf(child)], events: [] };
  });
}

/** A key within the shard, of two letters. */
function middle({ startKey, endKey }: ShardDescriptor, random: () => number): EncodedKey | null {
  const letter = (): string => String.fromCharCode(97 + Math.floor(random() * 26));
  const key = encodedKey(letter() + letter());
  return compareKeys(key, startKey) > 0 && (endKey === null || compareKeys(key, endKey) < 0) ? key : null;
}

function merge(world: RouteWorld, directory: ShardDirectory, left: LocatedShard, right: LocatedShard): Pending {
  return pending(world, async () => {
    const nowMs = world.clock.wallMs();
    const merged: ShardDescriptor = {
      ...left.shard,
      endKey: right.shard.endKey,
      epoch: epoch(Math.max(left.shard.epoch, right.shard.epoch) + 1),
      generation: generation(Math.max(left.shard.generation, right.shard.generation) + 1),
      boundsSinceMs: nowMs,
      leaderSinceMs: nowMs,
    };
    const change = await directory.mergeWrites({ left, right }, merged, AUDIT);
    if (change === 'RACED') return null;
    const gone = { ...right.shard, generation: generation(right.shard.generation + 1) };
    return { writes: change.writes, audit: [...change.audit, entryOf(merged), entryOf(gone)], events: [] };
  });
}

/** Numbers in [0, 1) from a seed. */
export function uniform(seed: number): () => number {
  const source = seededRandom(seed);
  return () => source.next();
}

/** The shard that holds a key. */
export const holderOf = (shards: readonly ShardDescriptor[], key: string): ShardDescriptor =>
  shards.findLast((shard) => compareKeys(shard.startKey, encodedKey(key)) <= 0)!;

/** What a route tells, to compare by. */
export const told = (
  shard: ShardDescriptor,
): Pick<RouteState, 'epoch' | 'endKey'> & { id: string; start: string; leader: string; nodes: string } => ({
  id: shard.shardId,
  start: shard.startKey,
  endKey: shard.endKey,
  epoch: shard.epoch,
  leader: shard.leader.nodeId,
  nodes: routeStateOf(shard)
    .replicas.map((replica) => replica.nodeId)
    .toSorted()
    .join(),
});
