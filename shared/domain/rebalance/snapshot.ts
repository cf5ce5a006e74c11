import type { Generation, NodeId, ShardId, TableName } from '../ids.ts';
import { invariant } from '../result.ts';
import { allows, leaderRank, NO_RULE, ruleFor } from './rules.ts';
import type { NodeLabels, PlacementRule, PlacementRules } from './rules.ts';

/**
 * What a planner sees: nodes and shards as columns of numbers, so that 1,000,000 shards on 10,000 nodes take about 100 MB.
 * Made by `SnapshotBuilder`; never changed afterwards.
 */

/** What a node is good for. If several hold, the last of this list. */
export type NodeState =
  | 'AVAILABLE'
  /** Takes no new replicas or leaders, keeps what it has. */
  | 'CORDONED'
  /** As cordoned, and its leaders go elsewhere. */
  | 'MAINTENANCE'
  /** Everything on it goes elsewhere. */
  | 'DRAINING'
  | 'DECOMMISSIONING'
  /** Dead or suspect: its replicas are for repair, not for the planner. */
  | 'UNHEALTHY';

export interface SnapshotNode {
  readonly nodeId: NodeId;
  readonly zone: string;
  readonly state: NodeState;
  readonly labels?: NodeLabels;
  /** SLOW (see slow-nodes.ts): takes nothing new, and its leaders go elsewhere. */
  readonly pace?: 'NORMAL' | 'SLOW';
  /** Capacity relative to the other nodes, > 0; 1 if absent. A node of weight 2 gets twice the share of one of weight 1. */
  readonly weight?: number;
  /** Absent: not limited. `usedBytes`: as the node reports it, everything included. */
  readonly disk?: { readonly capacityBytes: number; readonly usedBytes: number };
}

export interface SnapshotShard {
  readonly shardId: ShardId;
  readonly table: TableName;
  readonly generation: Generation;
  readonly bytes: number;
  /** Requests/s that each replica costs its node: writes. */
  readonly load: number;
  /** Requests/s on top that the leader's node serves: reads. */
  readonly leaderLoad: number;
  readonly replicas: readonly { readonly nodeId: NodeId; readonly sync: 'IN_SYNC' | 'BEHIND' }[];
  /** Null while there is none. */
  readonly leader: NodeId | null;
  /** BUSY: an operation or an intent owns the shard; it counts where it is, and is not touched. */
  readonly activity: 'IDLE' | 'BUSY';
  /** A move under way: counts as done, and makes the shard busy. `from` null: a replica is being added. */
  readonly inFlight?: { readonly from: NodeId | null; readonly to: NodeId };
}

/** Columns by node, by shard, and by slot (one slot for each replica of a shard). */
export interface PlanSnapshot {
  readonly nodes: readonly SnapshotNode[];
  readonly zones: readonly string[];
  readonly zoneOf: Int32Array;
  readonly weight: Float64Array;
  /** Bytes on the node's disk as far as plans are concerned: the larger of reported and counted, and what is in flight. */
  readonly diskUsed: Float64Array;
  readonly shardIds: readonly ShardId[];
  readonly generations: Float64Array;
  readonly bytes: Float64Array;
  readonly load: Float64Array;
  readonly leaderLoad: Float64Array;
  readonly busy: Uint8Array;
  readonly ruleOf: Uint16Array;
  /** The slots of shard s are `slotStart[s]` up to but excluding `slotStart[s + 1]`. */
  readonly slotStart: Int32Array;
  readonly slotNode: Int32Array;
  readonly slotInSync: Uint8Array;
  /** The leader's slot, -1 for none. */
  readonly leaderSlot: Int32Array;
  readonly rules: readonly RuleColumns[];
  /** Nodes that a shard names and nobody added: counted as UNHEALTHY, in a zone of their own. */
  readonly unknownNodes: readonly NodeId[];
}

export interface RuleColumns {
  readonly rule: PlacementRule;
  /** By node: 1 if its labels are allowed. */
  readonly allowed: Uint8Array;
  /** By node: 0 is where leaders are most welcome. */
  readonly leaderRank: Uint8Array;
  /** By zone: nodes that may take a replica now. */
  readonly takers: Int32Array;
  /** Zones with a taker. */
  readonly zonesUsable: number;
}

/** Distinct placement rules in one snapshot: each costs a few bytes a node. */
export const RULES_MAX = 256;
/** Replicas of one shard. Far above any sensible replication factor. */
export const REPLICAS_PER_SHARD_MAX = 32;
const UNKNOWN_ZONE = '\u0000unknown';

/** True if the node may get replicas. */
export const takesReplicas = (node: SnapshotNode): boolean => node.state === 'AVAILABLE' && node.pace !== 'SLOW';
/** True if everything on the node has to go elsewhere. */
export const isLeaving = (node: SnapshotNode): boolean => node.state === 'DRAINING' || node.state === 'DECOMMISSIONING';

/** True if the node's leaders have to go elsewhere. */
export const losesLeaders = (node: SnapshotNode): boolean =>
  isLeaving(node) || node.state === 'MAINTENANCE' || (node.pace === 'SLOW' && node.state !== 'UNHEALTHY');

const ruleText = (rule: PlacementRule): string =>
  JSON.stringify([rule.required, rule.forbidden, rule.leaderPreference]);

/** The replicas as they will be once the move under way is done. */
function effectiveReplicas(shard: SnapshotShard): SnapshotShard['replicas'] {
  if (shard.inFlight === undefined) return shard.replicas;
  const { from, to } = shard.inFlight;
  const staying = shard.replicas.filter((replica) => replica.nodeId !== from && replica.nodeId !== to);
  return [...staying, { nodeId: to, sync: 'BEHIND' }];
}

/**
 * Collects nodes, then shards. Order matters for nothing but ties, which are broken by it: feed nodes and shards in a fixed order
 * (by id) for the same plan from the same cluster.
 */
export class SnapshotBuilder {
  private readonly nodes: SnapshotNode[] = [];
  private readonly indexOf = new Map<NodeId, number>();
  private readonly unknownNodes: NodeId[] = [];
  private readonly rules: PlacementRule[] = [NO_RULE];
  private readonly ruleIndex = new Map<string, number>([[ruleText(NO_RULE), 0]]);
  private readonly ruleOfTable = new Map<TableName, number>();
  private readonly shardIds: ShardId[] = [];
  private readonly columns = {
    generations: new Column(Float64Array),
    bytes: new Column(Float64Array),
    load: new Column(Float64Array),
    leaderLoad: new Column(Float64Array),
    busy: new Column(Uint8Array),
    ruleOf: new Column(Uint16Array),
    slotStart: new Column(Int32Array),
    slotNode: new Column(Int32Array),
    slotInSync: new Column(Uint8Array),
    leaderSlot: new Column(Int32Array),
  };
  /** Bytes in flight to a node whose disk does not show them yet. */
  private readonly arriving = new Map<number, number>();
  private readonly rulesInForce: PlacementRules;

  /** `rulesInForce`: for tables without a rule of their own by `setRule`. */
  constructor(rulesInForce: PlacementRules = []) {
    this.rulesInForce = rulesInForce;
  }

  /** Throws Bug on an id that was added before. */
  addNode(node: SnapshotNode): this {
    invariant(!this.indexOf.has(node.nodeId), `node ${node.nodeId} was added twice`);
    invariant((node.weight ?? 1) > 0, `node ${node.nodeId} has no positive weight`);
    this.indexOf.set(node.nodeId, this.nodes.length);
    this.nodes.push(node);
    return this;
  }

  /** To be called before the table's shards are added. Throws Bug above RULES_MAX distinct rules. */
  setRule(table: TableName, rule: PlacementRule): this {
    const text = ruleText(rule);
    let index = this.ruleIndex.get(text);
    if (index === undefined) {
      index = this.rules.length;
      invariant(index < RULES_MAX, `more than ${RULES_MAX} distinct placement rules`);
      this.rules.push(rule);
      this.ruleIndex.set(text, index);
    }
    this.ruleOfTable.set(table, index);
    return this;
  }

  addShard(shard: SnapshotShard): this {
    const { columns } = this;
    invariant(shard.replicas.length <= REPLICAS_PER_SHARD_MAX, `${shard.shardId} has too many replicas`);
    const first = columns.slotNode.length;
    this.shardIds.push(shard.shardId);
    columns.generations.push(shard.generation);
    columns.bytes.push(shard.bytes);
    columns.load.push(shard.load);
    columns.leaderLoad.push(shard.leaderLoad);
    columns.busy.push(shard.activity === 'BUSY' || shard.inFlight !== undefined ? 1 : 0);
    columns.ruleOf.push(this.ruleNumber(shard.table));
    columns.slotStart.push(first);
    let leaderSlot = -1;
    // The leader's replica, if it is the one that leaves, hands over to the new one.
    const leader = shard.leader !== null && shard.inFlight?.from === shard.leader ? shard.inFlight.to : shard.leader;
    for (const replica of effectiveReplicas(shard)) {
      if (replica.nodeId === leader) leaderSlot = columns.slotNode.length;
      columns.slotNode.push(this.node(replica.nodeId));
      columns.slotInSync.push(replica.sync === 'IN_SYNC' ? 1 : 0);
    }
    columns.leaderSlot.push(leaderSlot);
    if (shard.inFlight !== undefined) {
      const to = this.node(shard.inFlight.to);
      this.arriving.set(to, (this.arriving.get(to) ?? 0) + shard.bytes);
    }
    return this;
  }

  private ruleNumber(table: TableName): number {
    const known = this.ruleOfTable.get(table);
    if (known !== undefined) return known;
    this.setRule(table, ruleFor(this.rulesInForce, table));
    return this.ruleOfTable.get(table) ?? 0;
  }

  private node(id: NodeId): number {
    const known = this.indexOf.get(id);
    if (known !== undefined) return known;
    // One shard that names a node which left in the meantime must not stop everybody's plan.
    this.addNode({ nodeId: id, zone: UNKNOWN_ZONE, state: 'UNHEALTHY' });
    this.unknownNodes.push(id);
    return this.nodes.length - 1;
  }

  build(): PlanSnapshot {
    const { columns, nodes } = this;
    const zones = [...new Set(nodes.map((node) => node.zone))].sort((a, b) => (a < b ? -1 : 1));
    const zoneIndex = new Map(zones.map((zone, index) => [zone, index]));
    const zoneOf = Int32Array.from(nodes, (node) => zoneIndex.get(node.zone) ?? 0);
    const slotStart = new Int32Array(this.shardIds.length + 1);
    slotStart.set(columns.slotStart.taken());
    slotStart[this.shardIds.length] = columns.slotNode.length;
    const slotNode = columns.slotNode.taken();
    const bytes = columns.bytes.taken();
    return {
      nodes: [...nodes],
      zones,
      zoneOf,
      weight: Float64Array.from(nodes, (node) => node.weight ?? 1),
      diskUsed: this.diskUsed(slotStart, slotNode, bytes),
      shardIds: [...this.shardIds],
      generations: columns.generations.taken(),
      bytes,
      load: columns.load.taken(),
      leaderLoad: columns.leaderLoad.taken(),
      busy: columns.busy.taken(),
      ruleOf: columns.ruleOf.taken(),
      slotStart,
      slotNode,
      slotInSync: columns.slotInSync.taken(),
      leaderSlot: columns.leaderSlot.taken(),
      rules: this.rules.map((rule) => ruleColumns(rule, nodes, { zoneOf, zones })),
      unknownNodes: [...this.unknownNodes],
    };
  }

  private diskUsed(slotStart: Int32Array, slotNode: Int32Array, bytes: Float64Array): Float64Array {
    const counted = new Float64Array(this.nodes.length);
    for (let shard = 0; shard < bytes.length; shard++) {
      for (let slot = slotStart[shard] as number; slot < (slotStart[shard + 1] as number); slot++) {
        const node = slotNode[slot] as number;
        counted[node] = (counted[node] as number) + (bytes[shard] as number);
      }
    }
    // What is in flight is among the counted bytes, but not yet among the reported ones.
    return Float64Array.from(this.nodes, (node, index) =>
      Math.max(counted[index] as number, (node.disk?.usedBytes ?? 0) + (this.arriving.get(index) ?? 0)),
    );
  }
}

/** What a rule says of each node and zone. */
export function ruleColumns(
  rule: PlacementRule,
  nodes: readonly SnapshotNode[],
  layout: Pick<PlanSnapshot, 'zoneOf' | 'zones'>,
): RuleColumns {
  const { zoneOf } = layout;
  const allowed = Uint8Array.from(nodes, (node) => (allows(rule, node.labels ?? {}) ? 1 : 0));
  const takers = new Int32Array(layout.zones.length);
  for (const [index, node] of nodes.entries()) {
    const zone = zoneOf[index] as number;
    if (allowed[index] === 1 && takesReplicas(node)) takers[zone] = (takers[zone] as number) + 1;
  }
  return {
    rule,
    allowed,
    leaderRank: Uint8Array.from(nodes, (node) => leaderRank(rule, node)),
    takers,
    zonesUsable: takers.reduce((usable, count) => usable + (count > 0 ? 1 : 0), 0),
  };
}

type Numbers = Float64Array | Int32Array | Uint16Array | Uint8Array;

/** A typed array that grows by doubling. */
class Column<A extends Numbers> {
  length = 0;
  private values: A;
  private readonly make: new (length: number) => A;

  constructor(make: new (length: number) => A) {
    this.make = make;
    this.values = new make(16);
  }

  push(value: number): void {
    if (this.length === this.values.length) {
      const larger = new this.make(this.values.length * 2);
      larger.set(this.values);
      this.values = larger;
    }
    this.values[this.length++] = value;
  }

  taken(): A {
    return this.values.slice(0, this.length) as A;
  }
}
