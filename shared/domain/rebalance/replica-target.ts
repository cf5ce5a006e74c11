import type { NodeId } from '../ids.ts';
import { DEFAULT_PLAN_OPTIONS } from './options.ts';
import type { Reason, ReasonCounts } from './reasons.ts';
import { ReasonTally } from './reasons.ts';
import { allows } from './rules.ts';
import type { PlacementRule } from './rules.ts';
import { takesReplicas } from './snapshot.ts';
import type { SnapshotNode } from './snapshot.ts';
import { refusalOfNode } from './state.ts';

/** A node that might take the replica, with what it holds already (planned arrivals included). */
export interface TargetCandidate extends SnapshotNode {
  readonly replicas: number;
}

export interface ReplicaWanted {
  readonly bytes: number;
  readonly rule: PlacementRule;
  /** Nodes that hold a replica and keep it; the one that is replaced is not among them. */
  readonly keptOn: readonly NodeId[];
  /** The node whose replica is replaced, if it is a move or a repair; it is no target. */
  readonly replaces: NodeId | null;
}

export interface TargetChoice {
  /** Null: nobody may take it. */
  readonly nodeId: NodeId | null;
  readonly rejected: readonly { readonly nodeId: NodeId; readonly reason: Reason }[];
  readonly rejectedByReason: ReasonCounts;
}

/**
 * The node for one new replica of one shard: repair, a higher replication factor, drain, a move without a named target. A zone with
 * the fewest replicas of the shard is required (I-7), then the node wins that holds least for its weight; ties by node id. `candidates` holds
 * every node of the cluster, those that can't take anything included: they tell where the shard's replicas are.
 */
export function targetForReplica(wanted: ReplicaWanted, candidates: readonly TargetCandidate[]): TargetChoice {
  const kept = new Set(wanted.keptOn);
  const inZone = new Map<string, number>();
  for (const { nodeId, zone } of candidates) if (kept.has(nodeId)) inZone.set(zone, (inZone.get(zone) ?? 0) + 1);
  const usable = candidates.filter(
    (node) =>
      takesReplicas(node) &&
      allows(wanted.rule, node.labels ?? {}) &&
      !kept.has(node.nodeId) &&
      node.nodeId !== wanted.replaces,
  );
  const fewest = usable.reduce((least, { zone }) => Math.min(least, inZone.get(zone) ?? 0), Infinity);
  const rejected: { nodeId: NodeId; reason: Reason }[] = [];
  const tally = new ReasonTally();
  let best: TargetCandidate | null = null;
  for (const node of candidates) {
    const reason = refusal(wanted, node, kept, (inZone.get(node.zone) ?? 0) > fewest);
    if (reason !== null) {
      rejected.push({ nodeId: node.nodeId, reason });
      tally.add(reason);
    } else if (best === null || isBetter(node, best)) best = node;
  }
  return {
    nodeId: best?.nodeId ?? null,
    rejected,
    rejectedByReason: rejected.length > 0 ? tally.ranked('NO_BETTER_TARGET') : [],
  };
}

/** Why `node` may not take the replica, or null. `zoneIsFuller`: some usable zone holds fewer replicas of the shard. */
function refusal(
  wanted: ReplicaWanted,
  node: TargetCandidate,
  kept: ReadonlySet<NodeId>,
  zoneIsFuller: boolean,
): Reason | null {
  if (kept.has(node.nodeId) || node.nodeId === wanted.replaces) return 'HOLDS_REPLICA';
  const ofNode = refusalOfNode(node);
  if (ofNode !== null) return ofNode;
  if (!allows(wanted.rule, node.labels ?? {})) return 'LABEL_RULE';
  if (zoneIsFuller) return 'ZONE_RULE';
  const { disk } = node;
  if (disk === undefined) return null;
  return disk.usedBytes + wanted.bytes > disk.capacityBytes * DEFAULT_PLAN_OPTIONS.diskWatermark ? 'NO_CAPACITY' : null;
}

function isBetter(node: TargetCandidate, best: TargetCandidate): boolean {
  const level = (candidate: TargetCandidate): number => candidate.replicas / (candidate.weight ?? 1);
  return level(node) < level(best) || (level(node) === level(best) && node.nodeId < best.nodeId);
}
