import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import type { Route } from '../../shared/contracts/data/rows.ts';
import { encodedKey } from '../../shared/domain/ids.ts';
import { decodeKey } from '../../shared/domain/keys.ts';

/** A route hint from what the node knows of the shard; null if it does not know the leader's address. */
export function routeOf(descriptor: WireDescriptor): Route | null {
  const leader = descriptor.replicas.find((replica) => replica.replica_id === descriptor.leader.replica_id);
  if (leader === undefined || leader.address === null) return null;
  const shown = (key: string): string => decodeKey(descriptor.key_type, encodedKey(key));
  return {
    table: descriptor.table,
    shard_id: descriptor.shard_id,
    key_type: descriptor.key_type,
    start_key: shown(descriptor.start_key),
    end_key: descriptor.end_key === null ? null : shown(descriptor.end_key),
    epoch: descriptor.epoch,
    generation: descriptor.generation,
    leader: { node_id: leader.node_id, ...leader.address, node_epoch: descriptor.leader.node_epoch },
    replicas: descriptor.replicas.flatMap((replica) =>
      replica.address === null
        ? []
        : [{ node_id: replica.node_id, ...replica.address, sync_status: replica.sync_status }],
    ),
  };
}
