import type { ShardDirectory } from '../../shared/ports.ts';
import type { ReplicaId } from '../../shared/domain/ids.ts';
import { replicaById } from '../../shared/domain/shard.ts';
import type { Mistakes } from './options.ts';

/** Mistakes in operations on shards, planted as those of mistakes.ts are. */
export const OPERATION_MISTAKES: Readonly<Record<string, { readonly mistakes: Mistakes; readonly breaks: string }>> = {
  'the id of a removed replica is used again': {
    breaks: 'R4',
    mistakes: { alterDeps: (deps) => ({ ...deps, directory: withOldReplicaIds(deps.directory) }) },
  },
};

/** The directory as it is, but for the ids under which changes of one shard list new replicas. */
function withOldReplicaIds(directory: ShardDirectory): ShardDirectory {
  const left: ReplicaId[] = [];
  const replaceWrites: ShardDirectory['replaceWrites'] = (from, to) => {
    for (const { replicaId } of from.shard.replicas) if (replicaById(to, replicaId) === undefined) left.push(replicaId);
    const old = left[0];
    const isNew = (id: ReplicaId): boolean => replicaById(from.shard, id) === undefined;
    const replicas = to.replicas.map((replica) =>
      isNew(replica.replicaId) && old !== undefined ? { ...replica, replicaId: old } : replica,
    );
    return directory.replaceWrites(from, { ...to, replicas });
  };
  return Object.assign(Object.create(directory) as ShardDirectory, { replaceWrites });
}
