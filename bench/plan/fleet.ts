import { generation, nodeId, shardId, tableName } from '../../shared/domain/ids.ts';
import type { NodeId } from '../../shared/domain/ids.ts';
import { SnapshotBuilder } from '../../shared/domain/rebalance/snapshot.ts';
import type { PlanSnapshot } from '../../shared/domain/rebalance/snapshot.ts';
import { seededRandom } from '../../test/simulation/random.ts';

/** A cluster that was even until nodes were added: shards of unlike size and load, placed one by one where there was least. */
export interface FleetOptions {
  readonly seed: number;
  /** New ones included. */
  readonly nodes: number;
  /** The last so many nodes are new and empty. */
  readonly added: number;
  readonly shards: number;
  readonly zones: number;
}

export const REPLICATION_FACTOR = 3;
const MIB = 1024 * 1024;
/** Sizes are uniform in between: a shard splits at 512 MB. */
const SHARD_BYTES = { min: 64 * MIB, max: 512 * MIB };
/** Load is log-normal about this median, as skewed as e^sigma, and cut where a shard would be split by load. */
const LOAD_MEDIAN = 5;
const LOAD_SIGMA = 1;
const LOAD_MAX = 100;
/** Part of a shard's load that every replica bears (writes); the rest is the leader's (reads). */
const WRITE_SHARE = 0.5;
/** Nodes compared for one replica: what keeps the cluster as even as a balancer would. */
const CHOICES = 8;

export function grownFleet(options: FleetOptions): PlanSnapshot {
  const random = seededRandom(`plan-bench-${options.seed}`);
  const builder = new SnapshotBuilder();
  const ids: NodeId[] = [];
  const oldByZone: number[][] = Array.from({ length: options.zones }, () => []);
  for (let node = 0; node < options.nodes; node++) {
    const zone = node % options.zones;
    const id = nodeId(`node-${String(node).padStart(5, '0')}`);
    ids.push(id);
    if (node < options.nodes - options.added) oldByZone[zone]!.push(node);
    builder.addNode({ nodeId: id, zone: `zone-${zone}`, state: 'AVAILABLE' });
  }
  // Replicas, bytes, load, leaders by node, and what an average replica weighs.
  const fill = new Float64Array(options.nodes * 4);
  const meanLoad = LOAD_MEDIAN * Math.exp(LOAD_SIGMA ** 2 / 2);
  const mean = [
    1,
    (SHARD_BYTES.min + SHARD_BYTES.max) / 2,
    meanLoad * (WRITE_SHARE + (1 - WRITE_SHARE) / REPLICATION_FACTOR),
    1 / REPLICATION_FACTOR,
  ];
  const level = (node: number, dimension: number): number => fill[node * 4 + dimension]! / mean[dimension]!;
  const fullest = (node: number): number => Math.max(level(node, 0), level(node, 1), level(node, 2));
  const sizes = Float64Array.from({ length: options.shards }, () =>
    Math.floor(random.between(SHARD_BYTES.min, SHARD_BYTES.max)),
  );
  const loads = Float64Array.from({ length: options.shards }, () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
    return Math.min(LOAD_MAX, LOAD_MEDIAN * Math.exp(LOAD_SIGMA * normal));
  });
  // The busiest first: the many small ones even out what they left uneven.
  const order = Int32Array.from({ length: options.shards }, (_, shard) => shard).sort((x, y) => loads[y]! - loads[x]!);
  for (const shard of order) {
    const bytes = sizes[shard]!;
    const load = loads[shard]! * WRITE_SHARE;
    const leaderLoad = loads[shard]! - load;
    const chosen: number[] = [];
    for (let replica = 0; replica < REPLICATION_FACTOR; replica++) {
      const old = oldByZone[(shard + replica) % options.zones]!;
      let best = old[random.below(old.length)]!;
      for (let choice = 1; choice < CHOICES; choice++) {
        const other = old[random.below(old.length)]!;
        if (fullest(other) < fullest(best)) best = other;
      }
      chosen.push(best);
    }
    const leader = chosen.reduce((best, node) =>
      level(node, 2) + level(node, 3) < level(best, 2) + level(best, 3) ? node : best,
    );
    for (const node of chosen) {
      fill[node * 4]! += 1;
      fill[node * 4 + 1]! += bytes;
      fill[node * 4 + 2]! += load + (node === leader ? leaderLoad : 0);
      if (node === leader) fill[node * 4 + 3]! += 1;
    }
    builder.addShard({
      shardId: shardId(`shard-${random.hex(8)}`),
      table: tableName('users'),
      generation: generation(1 + (shard % 7)),
      bytes,
      load,
      leaderLoad,
      replicas: chosen.map((node) => ({ nodeId: ids[node]!, sync: 'IN_SYNC' as const })),
      leader: ids[leader]!,
      activity: 'IDLE',
    });
  }
  return builder.build();
}
