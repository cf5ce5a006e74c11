import type { RecordWrite, Records, ShardDirectory, UnauditedWrite } from '../../shared/ports.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { Mistakes } from './cluster.ts';
import { OPERATION_MISTAKES } from './operation-mistakes.ts';

/** Mistakes that a cluster could be built with, one at a time, to see that the simulation finds them. None is in production code. */
export const PLANTED_MISTAKES: Readonly<Record<string, { readonly mistakes: Mistakes; readonly breaks: string }>> = {
  'a node believes in its lease until it is told of the fence': {
    breaks: 'L3',
    mistakes: { alterLease: (lease) => ({ registration: () => lease.registration(), held: () => true }) },
  },
  'the detector fences a third too soon': {
    breaks: 'L2',
    mistakes: {
      alterDeps: (deps) => ({
        ...deps,
        clock: { wallMs: () => deps.clock.wallMs(), monotonicMs: () => deps.clock.monotonicMs() * 3 },
      }),
    },
  },
  'a fence does not require the sequence that was observed': {
    breaks: 'L1',
    mistakes: { alterDeps: (deps) => ({ ...deps, records: withoutSequenceCondition(deps.records) }) },
  },
  'a packed renewal does not require the revision that it was decided from': {
    breaks: 'L1',
    mistakes: { alterDeps: (deps) => ({ ...deps, records: withoutPackRevision(deps.records) }) },
  },
  'an entry of a passed node epoch may be elected': {
    breaks: 'E1',
    mistakes: {
      alterDeps: (deps) => ({
        ...deps,
        directory: withResolved(deps.directory, async (shard) => ({
          ...shard,
          replicas: await Promise.all(
            shard.replicas.map(async (replica) => {
              const liveness = await deps.records.get('liveness', { nodeId: replica.nodeId });
              return liveness === null ? replica : { ...replica, nodeEpoch: liveness.value.nodeEpoch };
            }),
          ),
        })),
      }),
    },
  },
  'a replica that lags may be elected': {
    breaks: 'E1',
    mistakes: {
      alterDeps: (deps) => ({
        ...deps,
        directory: withResolved(deps.directory, async (shard) => allInSync(shard)),
      }),
    },
  },
  ...OPERATION_MISTAKES,
};

/** The directory, with descriptors altered that failover reads. */
const withResolved = (
  directory: ShardDirectory,
  alter: (shard: ShardDescriptor) => Promise<ShardDescriptor>,
): ShardDirectory => ({
  lookup: (tableId, key) => directory.lookup(tableId, key),
  locate: (shardId) => directory.locate(shardId),
  scan: (tableId, request) => directory.scan(tableId, request),
  replicasOn: (nodeId, request) => directory.replicasOn(nodeId, request),
  replaceWrites: (from, to) => directory.replaceWrites(from, to),
  splitWrites: (from, parts, audit) => directory.splitWrites(from, parts, audit),
  mergeWrites: (parts, merged, audit) => directory.mergeWrites(parts, merged, audit),
  makeRoom: (page, audit) => directory.makeRoom(page, audit),
  append: (tableId, shards, audit) => directory.append(tableId, shards, audit),
  removeFirst: (tableId, limit, audit) => directory.removeFirst(tableId, limit, audit),
  resolve: async (pointers) =>
    Promise.all(
      (await directory.resolve(pointers)).map(async (found) =>
        found === null ? null : { ...found, shard: await alter(found.shard) },
      ),
    ),
});

const allInSync = (shard: ShardDescriptor): ShardDescriptor => ({
  ...shard,
  replicas: shard.replicas.map((replica) => ({ ...replica, syncStatus: 'IN_SYNC' })),
});

function withoutSequenceCondition(records: Records): Records {
  const strip = <W extends RecordWrite>(write: W): W =>
    write.entity === 'liveness' && write.kind === 'update'
      ? {
          ...write,
          when: write.when.filter((condition) => !(condition.kind === 'equals' && condition.field === 'sequence')),
        }
      : write;
  return {
    get: (kind, id) => records.get(kind, id),
    getMany: (kind, ids) => records.getMany(kind, ids),
    query: (kind, query) => records.query(kind, query),
    commit: (change) => records.commit({ ...change, writes: change.writes.map(strip) }),
    observe: <W extends UnauditedWrite>(write: W) => records.observe(strip(write)),
    observeAll: (writes) => records.observeAll(writes.map(strip)),
  };
}

/** Puts a pack under whatever revision it has by then. */
const withoutPackRevision = (records: Records): Records => ({
  get: (kind, id) => records.get(kind, id),
  getMany: (kind, ids) => records.getMany(kind, ids),
  query: (kind, query) => records.query(kind, query),
  commit: (change) => records.commit(change),
  observe: async <W extends UnauditedWrite>(write: W) => {
    if (write.entity !== 'livenessPack' || write.kind !== 'put') return records.observe(write);
    const present = await records.get('livenessPack', { packId: write.value.packId });
    if (present === null) return records.observe(write);
    return records.observe({ ...write, when: [{ kind: 'revision', is: present.revision }] });
  },
  observeAll: (writes) => records.observeAll(writes),
});
