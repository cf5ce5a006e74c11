import type { LivenessView } from '../domain/election.ts';
import type { NodeId } from '../domain/ids.ts';
import type { LivenessRecord } from '../domain/lease.ts';
import type { Deps } from '../ports.ts';

/** Strong read of some nodes' liveness, packed or not. Nodes that do not exist are missing from the view. */
export const readLiveness = (deps: Deps, nodeIds: Iterable<NodeId>): Promise<LivenessView> => deps.liveness.of(nodeIds);

/** Strong read of every node's liveness, all partitions in parallel. */
export const readAllLiveness = (deps: Deps): Promise<LivenessRecord[]> => deps.liveness.all();
