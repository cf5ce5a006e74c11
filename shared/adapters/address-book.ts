import type { NodeEpoch, NodeId } from '../domain/ids.ts';
import type { AddressBook, NodeAddress, Records } from '../ports.ts';

/** Nodes of one batch read; the store's limit. */
const BATCH_NODES_MAX = 100;

interface Entry {
  readonly address: NodeAddress;
  /** Node epoch of the registration that wrote the address. */
  readonly addressNodeEpoch: number;
  /** Highest node epoch that the address was read for: nobody reads it again for that one or a lower one. */
  readonly readForNodeEpoch: number;
}

/**
 * Addresses of nodes, cached by this process. A node's address changes only with a registration, which raises its node epoch: a
 * cached address is read again when it is asked for under a higher node epoch than the one it was written under, once for
 * each such node epoch (a fence raises the node epoch too, and leaves the address). Unknown nodes are missing in the answer.
 */
export function createAddressBook({ records }: { readonly records: Records }): AddressBook {
  const cache = new Map<NodeId, Entry>();

  const isStale = (nodeId: NodeId, wanted: number): boolean => {
    const entry = cache.get(nodeId);
    return entry === undefined || (wanted > entry.addressNodeEpoch && wanted > entry.readForNodeEpoch);
  };

  const read = async (nodeIds: readonly NodeId[], wanted: ReadonlyMap<NodeId, NodeEpoch>): Promise<void> => {
    const nodes = await records.getMany(
      'node',
      nodeIds.map((nodeId) => ({ nodeId })),
    );
    for (const [index, nodeId] of nodeIds.entries()) {
      const node = nodes[index]?.value;
      const known = cache.get(nodeId);
      // A slower, older read must not undo a newer one.
      if (node === undefined || (known !== undefined && known.addressNodeEpoch > node.addressNodeEpoch)) continue;
      cache.set(nodeId, {
        address: { nodeId, host: node.host, port: node.port },
        addressNodeEpoch: node.addressNodeEpoch,
        readForNodeEpoch: Math.max(wanted.get(nodeId) ?? 0, known?.readForNodeEpoch ?? 0),
      });
    }
  };

  return {
    of: async (nodes, use = 'USE') => {
      const wanted = new Map<NodeId, NodeEpoch>();
      for (const { nodeId, nodeEpoch } of nodes)
        if ((wanted.get(nodeId) ?? -1) < nodeEpoch) wanted.set(nodeId, nodeEpoch);
      const stale = [...wanted]
        .filter(([nodeId, nodeEpoch]) => use === 'BYPASS' || isStale(nodeId, nodeEpoch))
        .map(([nodeId]) => nodeId);
      for (let start = 0; start < stale.length; start += BATCH_NODES_MAX)
        await read(stale.slice(start, start + BATCH_NODES_MAX), wanted);
      const addresses = new Map<string, NodeAddress>();
      for (const nodeId of wanted.keys()) {
        const entry = cache.get(nodeId);
        if (entry !== undefined) addresses.set(nodeId, entry.address);
      }
      return addresses;
    },
  };
}
