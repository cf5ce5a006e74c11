import { toWireDescriptor } from '../contracts/node/descriptor.ts';
import type { WireDescriptor } from '../contracts/node/descriptor.ts';
import type { Replica, ShardDescriptor } from '../domain/shard.ts';
import type { AddressBook, Deps, NodeAddress } from '../ports.ts';

/** Addresses of the nodes of some shards, at least as new as their entries. */
export async function addressesOf(
  deps: Deps,
  shards: readonly {
    readonly leader: Pick<ShardDescriptor['leader'], 'nodeId' | 'nodeEpoch'>;
    readonly replicas: readonly Pick<Replica, 'nodeId' | 'nodeEpoch'>[];
  }[],
  cache: Parameters<AddressBook['of']>[1] = 'USE',
): Promise<ReadonlyMap<string, NodeAddress>> {
  return deps.addresses.of(
    shards.flatMap((shard) => [
      { nodeId: shard.leader.nodeId, nodeEpoch: shard.leader.nodeEpoch },
      ...shard.replicas.map((replica) => ({ nodeId: replica.nodeId, nodeEpoch: replica.nodeEpoch })),
    ]),
    cache,
  );
}

/** The descriptor as nodes get it. */
export async function describeForNodes(
  deps: Deps,
  shard: ShardDescriptor,
  cache: Parameters<AddressBook['of']>[1] = 'USE',
): Promise<WireDescriptor> {
  const addresses = await addressesOf(deps, [shard], cache);
  return toWireDescriptor(shard, (node) => {
    const address = addresses.get(node);
    return address === undefined ? null : { host: address.host, port: address.port };
  });
}
