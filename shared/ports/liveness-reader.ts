import type { NodeId } from '../domain/ids.ts';
import type { LivenessRecord } from '../domain/lease.ts';

/**
 * The one way to read liveness: a node's lease lives in its own item or in a pack (L1), and only here the two are put together.
 * All reads are strong. What is read is a basis for conditional writes, which name the node epoch.
 */
export interface LivenessReader {
  /** Liveness of some nodes. Nodes that do not exist are missing. Throws StoreError UNAVAILABLE if a lease keeps moving. */
  of(nodeIds: Iterable<NodeId>): Promise<ReadonlyMap<NodeId, LivenessRecord>>;
  /** Every node's liveness: a fixed number of queries, and one item for each pack. A lease that moves just then is left out. */
  all(): Promise<LivenessRecord[]>;
  /**
   * For who reads every node's liveness again and again: what it returns reads like `all`, but asks partitions where no node was found only at
   * every fifth read (liveness-reader.ts says what that costs). Keeps what it learns: one for each loop.
   */
  watch(): () => Promise<LivenessRecord[]>;
}
