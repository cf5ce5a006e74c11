import { hasEnded } from '../../shared/domain/operation.ts';
import type { OperationRecord } from '../../shared/domain/records.ts';
import { decodeKey } from '../../shared/domain/keys.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { SeededRandom } from './random.ts';

/** What the simulated operator asks for, and how often. */

export interface OperatorRequest {
  /** As the counts of a run show it. */
  readonly name: string;
  readonly method: 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly body: unknown;
}

/** The cluster as the operator sees it. */
export interface OperatorView {
  readonly table: string;
  readonly nodes: readonly string[];
  readonly shards: readonly ShardDescriptor[];
  readonly operations: readonly OperationRecord[];
}

interface Action {
  /** How often it is chosen, relative to the others. */
  readonly weight: number;
  /** True if it asks for a new operation. */
  readonly starts: boolean;
  /** One request or several at once. Null: there is nothing to ask this for. */
  readonly request: (view: OperatorView, random: SeededRandom) => OperatorRequest | readonly OperatorRequest[] | null;
}

/** Shards beyond which none is split: each costs heartbeats of its replicas. */
const SHARDS_MAX = 9;
/** One lost node may not take the last copy of rows with it: directories are wiped in a run. */
const REPLICATION_FACTORS = [2, 3, 3, 4, 5];
const MAINTENANCE_SECONDS = 5;
const KEYS_OF_SPLITS = 'abcdefghijklmnopqrstuvwxyz';

const post = (name: string, path: string, body?: unknown): OperatorRequest => ({ name, method: 'POST', path, body });
const one = <T>(items: readonly T[], random: SeededRandom): T | null =>
  items.length === 0 ? null : random.pick(items);

/** Between the bounds of the shard, now and then outside of them. */
function splitKey(shard: ShardDescriptor, random: SeededRandom): string {
  const start = decodeKey(shard.keyType, shard.startKey);
  const end = shard.endKey === null ? null : decodeKey(shard.keyType, shard.endKey);
  const inside = [...KEYS_OF_SPLITS].filter((key) => key > start && (end === null || key < end));
  return random.chance(0.9) && inside.length > 0 ? random.pick(inside) : random.pick([...KEYS_OF_SPLITS]);
}

const ofNode = (name: 'drain' | 'uncordon', node: string): OperatorRequest =>
  post(name, `/cluster/nodes/${node}/${name}`, name === 'drain' ? {} : undefined);

const control = (
  name: 'pause' | 'resume' | 'cancel' | 'redrive',
  weight: number,
  fits: (operation: OperationRecord) => boolean,
): Action => ({
  weight,
  starts: false,
  request: ({ operations }, random) => {
    const operation = one(operations.filter(fits), random);
    return operation === null ? null : post(name, `/operations/${operation.operationId}/${name}`);
  },
});

export const ACTIONS: readonly Action[] = [
  {
    weight: 5,
    starts: true,
    request: ({ shards }, random) => {
      const shard = one(shards, random);
      if (shard === null || shards.length >= SHARDS_MAX) return null;
      const body = random.chance(0.6) ? { split_key: splitKey(shard, random) } : {};
      return post('split', `/shards/${shard.shardId}/split`, body);
    },
  },
  {
    weight: 6,
    starts: true,
    request: ({ shards }, random) => {
      const shard = one(shards, random);
      if (shard === null || shards.length < 2) return null;
      // The right neighbour, or one by name: mostly the left one, now and then a shard that is no neighbour.
      const left = shards.find(({ endKey }) => endKey !== null && endKey === shard.startKey);
      const other = random.chance(0.9) && left !== undefined ? left : random.pick(shards);
      return post(
        'merge',
        `/shards/${shard.shardId}/merge`,
        random.chance(0.5) ? {} : { with_shard_id: other.shardId },
      );
    },
  },
  {
    weight: 6,
    starts: true,
    request: ({ shards, nodes }, random) => {
      const shard = one(shards, random);
      if (shard === null) return null;
      // Mostly to a node without a copy of it; the rest is refused.
      const free = nodes.filter((node) => shard.replicas.every((replica) => replica.nodeId !== node));
      const target = random.chance(0.95) && free.length > 0 ? random.pick(free) : random.pick(nodes);
      const source = random.chance(0.3) ? { source_node_id: random.pick(shard.replicas).nodeId } : {};
      return post('move', `/shards/${shard.shardId}/move`, { target_node_id: target, ...source });
    },
  },
  {
    weight: 4,
    starts: false,
    request: ({ shards }, random) => {
      const shard = one(shards, random);
      if (shard === null) return null;
      return post('transfer', `/shards/${shard.shardId}/leader`, {
        new_leader_node_id: random.pick(shard.replicas).nodeId,
      });
    },
  },
  {
    weight: 2,
    starts: true,
    request: ({ table }, random) => {
      const mode = random.pick(['all', 'leaders', 'scatter']);
      return post('rebalance', '/shards/rebalance', mode === 'scatter' ? { mode, table } : { mode });
    },
  },
  { weight: 2, starts: true, request: ({ nodes }, random) => ofNode('drain', random.pick(nodes)) },
  {
    weight: 1,
    starts: true,
    request: ({ nodes }, random) => {
      const node = random.pick(nodes);
      return post('maintenance', `/cluster/nodes/${node}/maintenance`, { seconds: MAINTENANCE_SECONDS });
    },
  },
  // As often as what cordons: else no node is left to take anything.
  { weight: 5, starts: false, request: ({ nodes }, random) => ofNode('uncordon', random.pick(nodes)) },
  {
    weight: 1,
    starts: true,
    request: ({ table }, random) => {
      const body = { replication_factor: random.pick(REPLICATION_FACTORS) };
      return { name: 'replication', method: 'PUT', path: `/tables/${table}/replication`, body };
    },
  },
  // The wrong shell: everything at once.
  { weight: 0.3, starts: true, request: ({ nodes }) => nodes.map((node) => ofNode('drain', node)) },
  {
    weight: 0.5,
    starts: false,
    request: (_view, random) => {
      const body = random.pick([{ check_every_seconds: -1 }, { repair_after_seconds: 'soon' }, { no_such_key: 1 }, []]);
      return { name: 'bad config', method: 'PUT', path: '/config/rebalance', body };
    },
  },
  control('cancel', 2, (operation) => !hasEnded(operation) && operation.type !== 'create-table'),
  control('pause', 2, (operation) => !hasEnded(operation) && operation.control === 'RUN'),
  control('resume', 2, ({ status, control: asked }) => status === 'PAUSED' || asked === 'PAUSE'),
  control('redrive', 1, ({ status }) => status === 'FAILED'),
];
