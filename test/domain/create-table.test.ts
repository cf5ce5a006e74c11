import { firstDescriptor, firstDisorder, shardCount, shardIdOf, startKeyOf } from '../../shared/domain/create-table.ts';
import type { NewTable } from '../../shared/domain/create-table.ts';
import { encodedKey, nodeId, replicaId, tableId, tableName } from '../../shared/domain/ids.ts';
import { checkTiling } from '../../shared/domain/invariants.ts';
import { aLease } from '../support/shards.ts';

const table = (...splitKeys: string[]): NewTable => ({
  table: tableName('cities'),
  tableId: tableId('tbl-1'),
  keyType: 'string',
  replicationFactor: 3,
  splitKeys: splitKeys.map(encodedKey),
});
const leases = new Map([1, 2, 3].map((node) => [`node-${node}`, aLease(node)]));

describe('the first descriptors of a table', () => {
  test('n split keys make n + 1 shards that tile the key space (I-1)', () => {
    const cities = table('d', 'm', '\u{1F600}');
    let made = 0;
    const shards = Array.from({ length: shardCount(cities) }, (_, index) =>
      firstDescriptor(
        cities,
        index,
        { nodeIds: [1, 2, 3].map((node) => nodeId(`node-${node}`)) },
        leases,
        () => replicaId(`rep-${made++}`),
        7,
      ),
    );
    expect(checkTiling('cities', shards)).toEqual([]);
    expect(shards[1]).toMatchObject({
      startKey: 'd',
      endKey: 'm',
      epoch: 1,
      generation: 1,
      minInSync: 2,
      leader: { nodeId: 'node-1', nodeEpoch: 1 },
    });
    expect(startKeyOf(cities, 0)).toBe('');
  });

  test('shard ids repeat for the same table and index, and never collide within a table', () => {
    const ids = Array.from({ length: 10_000 }, (_, index) => shardIdOf(tableId('tbl-1'), index));
    expect(new Set(ids).size).toBe(10_000);
    expect(shardIdOf(tableId('tbl-1'), 3)).toBe(ids[3]);
    expect(shardIdOf(tableId('tbl-2'), 3)).not.toBe(ids[3]);
    expect(ids[0]).toMatch(/^shard-[0-9a-f]{16}$/);
  });

  test('split keys ascend in byte order: an astral character comes after U+FF61', () => {
    expect(firstDisorder(['a', '\uFF61', '\u{1F600}'].map(encodedKey))).toBeNull();
    expect(firstDisorder(['a', 'b', 'b'].map(encodedKey))).toBe(2);
    expect(firstDisorder(['\u{1F600}', '\uFF61'].map(encodedKey))).toBe(1);
  });
});
