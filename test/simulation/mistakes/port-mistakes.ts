import type { ReplicaId } from '../../../shared/domain/ids.ts';
import type { ShardDescriptor } from '../../../shared/domain/shard.ts';
import type {
  CommandAnswer,
  CommandDraft,
  Deps,
  RecordWrite,
  Records,
  ShardDirectory,
  UnauditedWrite,
} from '../../../shared/ports.ts';
import type { PlantedMistake } from './planted-mistake.ts';

/** Mistakes that come in by the ports which the simulation wraps: in any process, and several one after the other. */
export const PORT_MISTAKES: readonly PlantedMistake[] = [
  {
    name: 'a node believes in its lease until it is told of the fence',
    breaks: 'L3',
    setting: 'ordinary',
    changes: [],
    mistakes: { alterLease: (lease) => ({ registration: () => lease.registration(), held: () => true }) },
  },
  {
    name: 'the detector fences a third too soon',
    breaks: 'L2',
    setting: 'ordinary',
    changes: [],
    mistakes: {
      alterDeps: (deps) => ({
        ...deps,
        clock: { wallMs: () => deps.clock.wallMs(), monotonicMs: () => deps.clock.monotonicMs() * 3 },
      }),
    },
  },
  {
    name: 'a fence does not require the sequence that was observed',
    breaks: 'L1',
    setting: 'ordinary',
    changes: [],
    mistakes: { alterDeps: (deps) => ({ ...deps, records: withoutSequenceCondition(deps.records) }) },
  },
  {
    name: 'a packed renewal does not require the revision that it was decided from',
    breaks: 'L1',
    setting: 'ordinary',
    changes: [],
    mistakes: { alterDeps: (deps) => ({ ...deps, records: withoutPackRevision(deps.records) }) },
  },
  {
    name: 'an entry of a passed node epoch may be elected',
    breaks: 'E1',
    setting: 'ordinary',
    changes: [],
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
  {
    name: 'a replica that lags may be elected',
    breaks: 'E1',
    setting: 'ordinary',
    changes: [],
    mistakes: {
      alterDeps: (deps) => ({
        ...deps,
        directory: withResolved(deps.directory, async (shard) => allInSync(shard)),
      }),
    },
  },
  {
    name: 'the id of a removed replica is used again',
    breaks: 'R4',
    setting: 'ordinary',
    changes: [],
    mistakes: { alterDeps: (deps) => ({ ...deps, directory: withOldReplicaIds(deps.directory) }) },
  },
  {
    name: 'a merge commits without its leaders being sealed',
    breaks: 'S2',
    setting: 'operated',
    changes: [],
    mistakes: {
      alterDeps: (deps) => ({
        ...deps,
        commands: withAnswers(deps.commands, ({ type, shard }) => {
          if (type !== 'seal_merge') return null;
          const { epoch, generation } = shard;
          return { outcome: 'DONE', receipt: { epoch, generation, sealed: { epoch, seq: 1 } } };
        }),
      }),
    },
  },
];

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

/** The directory as it is, but for the ids under which changes of one shard list new replicas. */
function withOldReplicaIds(directory: ShardDirectory): ShardDirectory {
  const left: ReplicaId[] = [];
  const lacks = (shard: ShardDescriptor, id: ReplicaId): boolean => !shard.replicas.some((one) => one.replicaId === id);
  const replaceWrites: ShardDirectory['replaceWrites'] = (from, to) => {
    for (const { replicaId } of from.shard.replicas) if (lacks(to, replicaId)) left.push(replicaId);
    const old = left[0];
    const isNew = (id: ReplicaId): boolean => lacks(from.shard, id);
    const replicas = to.replicas.map((replica) =>
      isNew(replica.replicaId) && old !== undefined ? { ...replica, replicaId: old } : replica,
    );
    return directory.replaceWrites(from, { ...to, replicas });
  };
  return Object.assign(Object.create(directory) as ShardDirectory, { replaceWrites });
}

/** Commands of which some are not sent, but answered here. */
const withAnswers = (
  commands: Deps['commands'],
  answerOf: (draft: CommandDraft) => CommandAnswer | null,
): Deps['commands'] => ({
  send: async (drafts) => {
    const answers = drafts.map(answerOf);
    const sent = await commands.send(drafts.filter((_draft, index) => answers[index] === null));
    let next = 0;
    return answers.map((answer) => answer ?? sent[next++] ?? { outcome: 'QUEUED' });
  },
  sendForTask: (drafts, task) => commands.sendForTask(drafts, task),
  pending: (nodeId, limit) => commands.pending(nodeId, limit),
  acknowledge: (nodeId, ack) => commands.acknowledge(nodeId, ack),
});
