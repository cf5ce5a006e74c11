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
  const byId = new Map(candidates.map((candidate) => [candidate.nodeId, candidate]));
  const leaders = new Map(candidates.map((candidate) => [candidate.nodeId, candidate.leaders]));
  const rank = (id: NodeId): number => byId.get(id)?.leaderRank ?? 0;
  const leading = (id: NodeId): number => level(leaders.get(id) ?? 0, byId.get(id)?.weight);
  const placements: Placement[] = [];
  for (let i = 0; i < count; i++) {
    const chosen = placeOne(zones, replicationFactor);
    // The most preferred of the chosen nodes leads, of several the one with the fewest leaders for its weight; ties by node id.
    chosen.sort((a, b) => rank(a) - rank(b) || leading(a) - leading(b) || compareText(a, b));
    const leader = chosen[0];
    if (leader !== undefined) leaders.set(leader, (leaders.get(leader) ?? 0) + 1);
    placements.push({ nodeIds: chosen });
  }
  return ok(placements);
}

/** What a node would hold for its weight with one more: so a node of weight 2 gets every second one from the beginning (D'Hondt). */
const level = (held: number, weight = 1): number => (held + 1) / weight;

interface ZoneNode {
  readonly nodeId: NodeId;
  readonly weight: number;
  replicas: number;
}

/** Nodes of one zone, kept sorted by (replicas for their weight, node id). */
interface Zone {
  readonly name: string;
  readonly nodes: ZoneNode[];
}

function groupByZone(candidates: readonly PlacementCandidate[]): Zone[] {
  const byName = new Map<string, Zone>();
  for (const candidate of candidates) {
    const zone = byName.get(candidate.zone) ?? { name: candidate.zone, nodes: [] };
    zone.nodes.push({ nodeId: candidate.nodeId, weight: candidate.weight ?? 1, replicas: candidate.replicas });
    byName.set(candidate.zone, zone);
  }
  const zones = [...byName.values()];
  for (const zone of zones) zone.nodes.sort(byLoad);
  return zones;
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const byLoad = (a: ZoneNode, b: ZoneNode): number =>
  level(a.replicas, a.weight) - level(b.replicas, b.weight) || compareText(a.nodeId, b.nodeId);

function placeOne(zones: Zone[], replicationFactor: number): NodeId[] {
  const chosen: NodeId[] = [];
  const taken = new Set<NodeId>();
  const usesOfZone = new Map<string, number>();
  while (chosen.length < replicationFactor) {
    // A zone used less often first (distinct zones while enough exist), then the one whose best node holds least.
    let best: { zone: Zone; index: number; uses: number; level: number } | null = null;
    for (const zone of zones) {
      const index = zone.nodes.findIndex((node) => !taken.has(node.nodeId));
      const node = zone.nodes[index];
      if (node === undefined) continue;
      const uses = usesOfZone.get(zone.name) ?? 0;
      const fullness = level(node.replicas, node.weight);
      const better =
        best === null ||
        uses < best.uses ||
        (uses === best.uses &&
          (fullness < best.level || (fullness === best.level && compareText(zone.name, best.zone.name) < 0)));
      if (better) best = { zone, index, uses, level: fullness };
    }
    if (best === null) break; // fewer nodes than replicas: excluded by the caller
    const node = best.zone.nodes[best.index];
    if (node === undefined) break;
    chosen.push(node.nodeId);
    taken.add(node.nodeId);
    usesOfZone.set(best.zone.name, best.uses + 1);
    node.replicas += 1;
    sink(best.zone.nodes, best.index);
  }
  return chosen;
}

/** Moves the node at `index`, whose load grew by one, back to its place. */
function sink(nodes: ZoneNode[], index: number): void {
  for (let i = index; i + 1 < nodes.length; i++) {
    const here = nodes[i];
    const next = nodes[i + 1];
    if (here === undefined || next === undefined || byLoad(here, next) <= 0) return;
    nodes[i] = next;
    nodes[i + 1] = here;
  }
}
