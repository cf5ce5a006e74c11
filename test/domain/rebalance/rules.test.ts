import { nodeId, tableName } from '../../../shared/domain/ids.ts';
import { placeShards } from '../../../shared/domain/placement.ts';
import { allows, barredBy, leaderRank, NO_RULE, ruleFor } from '../../../shared/domain/rebalance/rules.ts';
import type { PlacementRules, TableRule } from '../../../shared/domain/rebalance/rules.ts';

const rule = (over: Partial<TableRule>): TableRule => ({
  tables: ['*'],
  required: [],
  forbidden: [],
  leaderPreference: null,
  ...over,
});
const SSD = { key: 'disk', values: ['ssd', 'nvme'] };
const COLD = { key: 'tier', values: ['cold'] };

describe('the rule of a table', () => {
  const rules: PlacementRules = [
    rule({ tables: ['orders', 'users'], required: [SSD], forbidden: [COLD] }),
    rule({ tables: ['users', 'logs'] }),
    rule({ forbidden: [COLD] }),
    rule({ tables: ['orphan'], required: [SSD] }),
  ];

  test.each([
    ['orders', 0],
    ['users', 0],
    ['logs', 1],
    ['anything', 2],
    ['orphan', 2],
  ])('%s: the first that names it', (table, index) => {
    expect(ruleFor(rules, tableName(table))).toBe(rules[index]);
  });

  test('none: every node', () => {
    expect(ruleFor(rules.slice(0, 2), tableName('anything'))).toBe(NO_RULE);
    expect(barredBy(rules.slice(0, 2), tableName('anything'), {})).toBeNull();
  });

  test.each<[string, Record<string, string>, string | null]>([
    ['orders', { disk: 'ssd' }, null],
    ['orders', { disk: 'nvme', tier: 'hot' }, null],
    ['orders', {}, 'placement rule 1 (tables orders, users; requires disk=ssd|nvme; forbids tier=cold)'],
    [
      'orders',
      { disk: 'ssd', tier: 'cold' },
      'placement rule 1 (tables orders, users; requires disk=ssd|nvme; forbids tier=cold)',
    ],
    ['rest', { tier: 'cold' }, 'placement rule 3 (every table; forbids tier=cold)'],
    ['rest', { disk: 'hdd' }, null],
  ])('%s on a node with %j', (table, labels, words) => {
    expect(barredBy(rules, tableName(table), labels)).toBe(words);
  });

  test('what every object has by itself is no label', () => {
    expect(allows(rule({ required: [{ key: 'constructor', values: ['x'] }] }), {})).toBe(false);
  });
});

test('leaders: named nodes before named zones before all others', () => {
  const wish = rule({ leaderPreference: { nodes: [nodeId('n1')], zones: ['a'] } });
  const at = (id: string, zone: string): number => leaderRank(wish, { nodeId: nodeId(id), zone });
  expect([at('n1', 'b'), at('n2', 'a'), at('n2', 'b')]).toEqual([0, 1, 2]);
  expect(leaderRank(NO_RULE, { nodeId: nodeId('n2'), zone: 'b' })).toBe(0);
});

describe('initial placement', () => {
  const candidates = ['a', 'b', 'c'].map((zone, index) => ({
    nodeId: nodeId(`n${index + 1}`),
    zone,
    replicas: 0,
    leaders: 0,
  }));

  test('by weight: a node of weight 3 gets three times as much as one of weight 1', () => {
    const two = candidates.slice(0, 2).map((candidate, index) => ({ ...candidate, weight: index === 0 ? 3 : 1 }));
    const placed = placeShards(two, 8, 1);
    if (!placed.ok) throw new Error('refused');
    const on = (id: string): number => placed.value.filter(({ nodeIds }) => nodeIds[0] === nodeId(id)).length;
    expect([on('n1'), on('n2')]).toEqual([6, 2]);
  });

  test('leaders where they are preferred, replicas without regard to it', () => {
    const wishes = candidates.map((candidate, index) => ({ ...candidate, leaderRank: index === 2 ? 0 : 1 }));
    const placed = placeShards(wishes, 3, 3);
    if (!placed.ok) throw new Error('refused');
    expect(placed.value.map(({ nodeIds }) => nodeIds[0])).toEqual(['n3', 'n3', 'n3']);
    const single = placeShards(wishes, 3, 1);
    if (!single.ok) throw new Error('refused');
    expect(new Set(single.value.flatMap(({ nodeIds }) => nodeIds)).size).toBe(3);
  });
});
