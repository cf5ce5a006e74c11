import type { NodeId } from './ids.ts';
import { err, ok } from './result.ts';
import type { Result } from './result.ts';

/**
 * Initial placement: filter -> score -> pick (the shape of TiKV PD's schedulers). Replicas of a shard sit on distinct
 * nodes and, while enough zones exist, in distinct zones (I-7); nodes with fewer replicas
 * for their weight first.
 */

export interface PlacementCandidate {
  readonly nodeId: NodeId;
  readonly zone: string;
  /** Replicas that the node holds. */
  readonly replicas: number;
  /** Leaders that the node has. */
  readonly leaders: number;
  /** Capacity relative to the other nodes, above 0; 1 if absent. */
  readonly weight?: number;
  /** How welcome the table's leaders are on the node; 0, the best, if absent. A wish: replicas are placed without regard to it. */
  readonly leaderRank?: number;
}

export interface Placement {
  /** Distinct nodes; the first one leads. */
  readonly nodeIds: readonly NodeId[];
}

export type PlacementRefusal = {
  readonly code: 'NOT_ENOUGH_NODES';
  readonly needed: number;
  readonly available: number;
};

/**
 * Places `count` shards of `replicationFactor` replicas each, in order. Deterministic: the same candidates give the same
 * placements, and the first n placements do not depend on `count`, so that a replayed step of create-table repeats itself.
 */
export function placeShards(
  candidates: readonly PlacementCandidate[],
  count: number,
  replicationFactor: number,
): Result<readonly Placement[], PlacementRefusal> {
  if (candidates.length < replicationFactor) {
    return err({ code: 'NOT_ENOUGH_NODES', needed: replicationFactor, available: candidates.length });
  }
  const zones = groupByZone(candidates);
  const placements: Placement[] = [];
  for (let i = 0; i < count; i++) {
    const chosen = placeOne(zones, replicationFactor);
    // The most preferred of the chosen nodes leads, of several the one with the fewest leaders for its weight; ties by node id.
    chosen.sort(
      (a, b) =>
        a.leaderRank - b.leaderRank ||
        level(a.leaders, a.weight) - level(b.leaders, b.weight) ||
        compareText(a.nodeId, b.nodeId),
    );
    const [leader] = chosen;
    if (leader !== undefined) leader.leaders += 1;
    placements.push({ nodeIds: chosen.map(({ nodeId }) => nodeId) });
  }
  return ok(placements);
}

/** What a node would hold for its weight with one more: so a node of weight 2 gets every second one from the beginning (D'Hondt). */
const level = (held: number, weight: number): number => (held + 1) / weight;

/** A candidate with what it holds so far, placements of this plan included. */
interface FleetNode {
  readonly nodeId: NodeId;
  readonly weight: number;
  readonly leaderRank: number;
  replicas: number;
  leaders: number;
}

/** Nodes of one zone, kept sorted by (replicas for their weight, node id). */
interface Zone {
  readonly name: string;
  readonly nodes: FleetNode[];
}

/** The zones by name. */
function groupByZone(candidates: readonly PlacementCandidate[]): Zone[] {
  const byName = new Map<string, Zone>();
  for (const { zone: name, nodeId, weight = 1, leaderRank = 0, replicas, leaders } of candidates) {
    const zone = byName.get(name) ?? { name, nodes: [] };
    zone.nodes.push({ nodeId, weight, leaderRank, replicas, leaders });
    byName.set(name, zone);
  }
  const zones = [...byName.values()].sort((a, b) => compareText(a.name, b.name));
  for (const zone of zones) zone.nodes.sort(byLoad);
  return zones;
}

const compareText = (a: string, b: string): number => (a < b ? -1 : 1);
const byLoad = (a: FleetNode, b: FleetNode): number =>
  level(a.replicas, a.weight) - level(b.replicas, b.weight) || compareText(a.nodeId, b.nodeId);

/** As many distinct nodes as asked for, or all there are. */
function placeOne(zones: readonly Zone[], replicationFactor: number): FleetNode[] {
  const chosen: FleetNode[] = [];
  const usesOfZone = new Map<Zone, number>();
  while (chosen.length < replicationFactor) {
    // A zone used less often first (distinct zones while enough exist), then the one whose best node holds least; ties by name.
    let best: { zone: Zone; node: FleetNode; uses: number; level: number } | null = null;
    for (const zone of zones) {
      const node = zone.nodes.find((candidate) => !chosen.includes(candidate));
      if (node === undefined) continue;
      const uses = usesOfZone.get(zone) ?? 0;
      const fullness = level(node.replicas, node.weight);
      if (best === null || uses < best.uses || (uses === best.uses && fullness < best.level))
        best = { zone, node, uses, level: fullness };
    }
    if (best === null) break; // fewer nodes than replicas: excluded by the caller
    const { zone, node, uses } = best;
    chosen.push(node);
    usesOfZone.set(zone, uses + 1);
    node.replicas += 1;
    sink(zone.nodes, node);
  }
  return chosen;
}

/** Moves the node, whose load grew by one, back to its place among those of its zone. */
function sink(nodes: FleetNode[], node: FleetNode): void {
  nodes.splice(nodes.indexOf(node), 1);
  const behind = nodes.findIndex((other) => byLoad(node, other) < 0);
  nodes.splice(behind < 0 ? nodes.length : behind, 0, node);
}
