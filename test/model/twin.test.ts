import type { ModelEvent, Position } from './events.ts';
import { firstRefusal } from './traces.ts';

/** What the twin allows and refuses where a short run of the simulation seldom comes: histories written by hand. */

const SHARD = 'shard-1';
const NODES = ['node-1', 'node-2', 'node-3'];

const descriptor = (epoch: number, generation: number, leader: string, inSync: readonly string[]): ModelEvent => ({
  type: 'descriptor',
  shard: SHARD,
  epoch,
  generation,
  leader,
  replicas: NODES.map((node) => ({ node, nodeEpoch: 1, inSync: inSync.includes(node) })),
  intent: false,
});
const appended = (node: string, at: Position, value?: string): ModelEvent => ({
  type: 'appended',
  node,
  shard: SHARD,
  entries: [{ ...at, writes: value === undefined ? [] : [{ key: 'k', value }] }],
});
const promised = (node: string, epoch: number): ModelEvent => ({ type: 'promised', node, shard: SHARD, epoch });
const truncated = (node: string, seq: number): ModelEvent => ({ type: 'truncated', node, shard: SHARD, seq });
const acknowledged = (value: string): ModelEvent => ({ type: 'acknowledged', key: 'k', value });

/** Node 1 leads, and its no-op is everywhere. */
const BEGUN: readonly ModelEvent[] = [
  ...NODES.map((node): ModelEvent => ({ type: 'node', node, epoch: 1 })),
  descriptor(1, 1, 'node-1', NODES),
  ...NODES.flatMap((node): ModelEvent[] => [
    { type: 'created', node, shard: SHARD, promised: 1 },
    { type: 'ranged', node, shard: SHARD, range: { from: '', to: null, generation: 1 } },
    appended(node, { epoch: 1, seq: 1 }),
  ]),
];
/** Node 1 is fenced with a write that node 2 alone has besides; node 3 leads, and the client sends its write again (R6). */
const SENT_AGAIN: readonly ModelEvent[] = [
  ...BEGUN,
  appended('node-1', { epoch: 1, seq: 2 }, 'v1'),
  appended('node-2', { epoch: 1, seq: 2 }, 'v1'),
  { type: 'node', node: 'node-1', epoch: 2 },
  descriptor(2, 2, 'node-3', ['node-2', 'node-3']),
  promised('node-3', 2),
  appended('node-3', { epoch: 2, seq: 2 }),
  promised('node-2', 2),
  truncated('node-2', 1),
  appended('node-2', { epoch: 2, seq: 2 }),
  appended('node-3', { epoch: 2, seq: 3 }, 'v1'),
  appended('node-2', { epoch: 2, seq: 3 }, 'v1'),
  acknowledged('v1'),
];

test('an entry that was never committed is truncated, though its write was sent again and acknowledged under another', () => {
  expect(firstRefusal([...SENT_AGAIN, promised('node-1', 2), truncated('node-1', 1)])).toBeNull();
});

test('the entry that was acknowledged is not', () => {
  expect(firstRefusal([...SENT_AGAIN, truncated('node-2', 2)])?.refusal.guard).toBe('I6');
});

/** Node 2 is elected, and fenced before it knows; node 3 is elected after it, and serves. */
const PASSED: readonly ModelEvent[] = [
  ...BEGUN,
  { type: 'node', node: 'node-1', epoch: 2 },
  descriptor(2, 2, 'node-2', ['node-2', 'node-3']),
  { type: 'node', node: 'node-2', epoch: 2 },
  descriptor(3, 3, 'node-3', ['node-2', 'node-3']),
  descriptor(3, 4, 'node-3', ['node-3']),
  promised('node-3', 3),
  appended('node-3', { epoch: 3, seq: 2 }),
  appended('node-3', { epoch: 3, seq: 3 }, 'v1'),
  acknowledged('v1'),
];

test('an epoch that others have passed may be taken up without what was acknowledged after it', () => {
  expect(firstRefusal([...PASSED, promised('node-2', 2), appended('node-2', { epoch: 2, seq: 2 })])).toBeNull();
});

test('a later one may not', () => {
  const copy = { shard: SHARD, promised: 2, receipt: 0, last: { epoch: 2, seq: 2 }, intact: true };
  const elected: readonly ModelEvent[] = [
    ...SENT_AGAIN,
    { type: 'node', node: 'node-3', epoch: 2 },
    descriptor(3, 3, 'node-2', ['node-2', 'node-3']),
  ];
  const takenUp = [promised('node-2', 3), appended('node-2', { epoch: 3, seq: 4 })];
  expect(firstRefusal([...elected, ...takenUp])).toBeNull();
  // Its directory was taken back by one entry.
  const rolledBack = [{ type: 'opened', node: 'node-2', copies: [copy] } as const, promised('node-2', 3)];
  expect(firstRefusal([...elected, ...rolledBack, appended('node-2', { epoch: 3, seq: 3 })])?.refusal.guard).toBe('I6');
});
