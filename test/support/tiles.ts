import { encodedKey, replicaId, tableId } from '../../shared/domain/ids.ts';
import type { EncodedKey, TableId } from '../../shared/domain/ids.ts';
import { KEY_SPACE_START } from '../../shared/domain/keys.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { aReplica, aShard } from './shards.ts';

/** The table of `evenShards`. */
export const tiledTable: TableId = tableId('table-1');

/** Digits of a key of `evenShards`: keeps their order up to ten million shards. */
const KEY_DIGITS = 7;
const digits = (index: number): string => String(index).padStart(KEY_DIGITS, '0');
export const keyOf = (index: number): EncodedKey => encodedKey(`k${digits(index)}`);

/**
 * `count` shards `shard-0000000` ... that tile the key space of `tiledTable`: the first ends at `keyOf(1)`, the second at
 * `keyOf(2)`, the last has no end. Replicas in sync on `node-<n>` for each of `nodes`; the first leads.
 */
export function evenShards(count: number, nodes: readonly number[] = [1, 2, 3]): ShardDescriptor[] {
  return Array.from({ length: count }, (_, index) =>
    aShard({
      id: `shard-${digits(index)}`,
      start: index === 0 ? KEY_SPACE_START : keyOf(index),
      end: index === count - 1 ? null : keyOf(index + 1),
      leader: nodes[0] ?? 1,
      replicas: nodes.map((node) => ({ ...aReplica(node), replicaId: replicaId(`r-${index}-${node}`) })),
      over: { tableId: tiledTable },
    }),
  );
}
