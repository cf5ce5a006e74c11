import { generation, nodeId, shardId } from '../../../shared/domain/ids.ts';
import { InFlight, paceOf, refilled, scaledBudget, secondsToToken } from '../../../shared/domain/waves/budget.ts';
import type { WaveBudget } from '../../../shared/domain/waves/budget.ts';
import { partJson, partOf } from '../../../shared/domain/waves/parts.ts';
import type { WavePart } from '../../../shared/domain/waves/parts.ts';
import { chooseRemovals } from '../../../shared/domain/waves/removals.ts';
import { budgetOf, DEFAULT_REBALANCE_SETTINGS, repairBudgetOf } from '../../../shared/domain/waves/settings.ts';
import { JUDGED_EVERY_MS, judged, UNTHROTTLED } from '../../../shared/domain/waves/throttle.ts';
import { reasonsInWords, waveState, waveStateJson } from '../../../shared/domain/waves/state.ts';
import { aReplica, aShard } from '../../support/shards.ts';

/** Budgets, pace, throttle, and the choice of what leaves: decisions of operations over many shards. */

const budget: WaveBudget = {
  movesInPerNode: 1,
  movesOutPerNode: 2,
  movesPerCluster: 3,
  transfersPerNode: 1,
  transfersPerCluster: 2,
};
const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(nodeId) as [
  ReturnType<typeof nodeId>,
  ReturnType<typeof nodeId>,
  ReturnType<typeof nodeId>,
  ReturnType<typeof nodeId>,
];

describe('a budget', () => {
  test('bounds copies into a node, out of a node, and in the cluster', () => {
    const inFlight = new InFlight(budget);
    inFlight.addMove({ to: [a], source: d });
    expect(inFlight.refusalOfMove({ to: [a], source: c })).toBe('NODE_IN');
    expect(inFlight.refusalOfMove({ to: [b], source: d })).toBeNull();
    inFlight.addMove({ to: [b], source: d });
    expect(inFlight.refusalOfMove({ to: [c], source: d })).toBe('NODE_OUT');
    inFlight.addMove({ to: [c], source: null });
    expect(inFlight.refusalOfMove({ to: [d], source: a })).toBe('CLUSTER');
    expect(inFlight.movesUnderWay).toBe(3);
  });

  test('bounds leader transfers of a node and of the cluster', () => {
    const inFlight = new InFlight(budget);
    inFlight.addTransfer([a, b]);
    expect(inFlight.refusalOfTransfer([b, c])).toBe('TRANSFERS');
    expect(inFlight.refusalOfTransfer([c, d])).toBeNull();
    inFlight.addTransfer([]);
    expect(inFlight.refusalOfTransfer([c, d])).toBe('TRANSFERS');
  });

  test('scaled down lets one through still; nothing at all is a mistake', () => {
    expect(scaledBudget(budget, 0.01)).toMatchObject({ movesInPerNode: 1, movesOutPerNode: 1, movesPerCluster: 1 });
    expect(() => new InFlight({ ...budget, movesPerCluster: 0 })).toThrow('lets nothing through');
  });

  test('bytes per second bound the copies, since each is throttled at its source', () => {
    const slow = { ...DEFAULT_REBALANCE_SETTINGS, bytesPerSecond: 28_000_000 };
    expect(budgetOf(slow).movesPerCluster).toBe(2);
    expect(budgetOf({ ...slow, bytesPerSecond: 1 }).movesPerCluster).toBe(1);
    expect(repairBudgetOf({ ...DEFAULT_REBALANCE_SETTINGS, repairsPerCluster: 4 }).movesPerCluster).toBe(4);
  });
});

describe('a pace', () => {
  test.each([
    ['an hour fills it, and no more', { tokens: 0, atMs: 0 }, 7_200_000, 100],
    ['six minutes give a tenth', { tokens: 0, atMs: 0 }, 360_000, 10],
    ['what is left stays', { tokens: 5, atMs: 0 }, 360_000, 15],
    ['a clock that went back gives nothing', { tokens: 5, atMs: 1_000_000 }, 0, 5],
  ])('%s', (_what, pace, nowMs, tokens) => {
    expect(refilled(pace, 100, nowMs).tokens).toBeCloseTo(tokens);
  });

  test('tells when the next move may start, and passes from one operation to the next', () => {
    expect(secondsToToken({ tokens: 1, atMs: 0 }, 100)).toBe(0);
    expect(secondsToToken({ tokens: 0, atMs: 0 }, 100)).toBe(36);
    expect(paceOf({ pace: { tokens: 2, atMs: 7 } })).toEqual({ tokens: 2, atMs: 7 });
    for (const none of [null, {}, { pace: null }, { pace: {} }, 'text']) expect(paceOf(none)).toBeNull();
  });
});

describe('the throttle', () => {
  const options = { ratioMax: 2 };
  const quiet = judged(UNTHROTTLED, [20, 20, 400], options, JUDGED_EVERY_MS);

  test('takes the median of the nodes before the work as its measure', () => {
    expect(quiet).toMatchObject({ share: 1, baselineMs: 20 });
  });

  test.each([
    ['far above it halves the budget', [50, 50, 50], 2, 0.5],
    ['a single slow node does not', [20, 20, 900], 2, 1],
    ['twice of it is allowed', [40, 40, 40], 2, 1],
    ['too soon after the last look nothing is judged', [90, 90, 90], 1.5, 1],
    ['without anybody who tells nothing is judged', [], 2, 1],
  ])('%s', (_what, latencies, beats, share) => {
    expect(judged(quiet, latencies, options, beats * JUDGED_EVERY_MS).share).toBe(share);
  });

  test('some milliseconds more are noise; it never stops altogether, and grows back', () => {
    const tiny = judged(UNTHROTTLED, [1], options, JUDGED_EVERY_MS);
    expect(judged(tiny, [9], options, 2 * JUDGED_EVERY_MS).share).toBe(1);
    let throttle = quiet;
    for (let beat = 2; beat < 30; beat++) throttle = judged(throttle, [200], options, beat * JUDGED_EVERY_MS);
    expect(throttle.share).toBe(1 / 16);
    for (let beat = 30; beat < 40; beat++) throttle = judged(throttle, [20], options, beat * JUDGED_EVERY_MS);
    expect(throttle.share).toBe(1);
  });
});

describe('which replicas leave', () => {
  const holder = (over: Partial<{ zone: string; alive: boolean; wanted: boolean; replicas: number }> = {}) => ({
    zone: 'z',
    alive: true,
    wanted: true,
    replicas: 1,
    ...over,
  });
  const five = [1, 2, 3, 4, 5].map((node) => aReplica(node, node === 4 ? 'LAGGING' : 'IN_SYNC'));
  const zones = (over: Readonly<Record<number, Parameters<typeof holder>[0]>> = {}) =>
    new Map(
      [1, 2, 3, 4, 5].map((node) => [nodeId(`node-${node}`), holder({ zone: `z${node}`, ...over[node] })] as const),
    );
  const chosen = (count: number, holders: ReturnType<typeof zones>) =>
    chooseRemovals(aShard({ replicas: five }), count, holders).map((replica) => replica.nodeId);

  test.each([
    ['the dead before the lagging', { 5: { alive: false } }, 2, ['node-5', 'node-4']],
    ['then those on nodes that are emptied', { 3: { wanted: false } }, 2, ['node-4', 'node-3']],
    ['then of the zone that holds more', { 2: { zone: 'z5' } }, 2, ['node-4', 'node-2']],
    ['then on the fuller node', { 3: { replicas: 9 } }, 2, ['node-4', 'node-3']],
    ['never the leader, however many are asked for', {}, 9, ['node-4', 'node-2', 'node-3', 'node-5']],
  ])('%s', (_what, over, count, expected) => {
    expect(chosen(count, zones(over))).toEqual(expected);
  });
});

test('parts and states survive the store', () => {
  const common = { shardId: shardId('s'), generation: generation(3) };
  const parts: WavePart[] = [
    { kind: 'MOVE', ...common, from: a, to: b, reason: 'BALANCE', bytes: 7 },
    { kind: 'MOVE', ...common, from: a, to: null, reason: 'REPAIR', bytes: 0 },
    { kind: 'LEADER', ...common, from: a, to: b, reason: 'NODE_SLOW' },
    { kind: 'FACTOR', ...common, replicationFactor: 5, bytes: 0 },
  ];
  for (const part of parts) expect(partOf(JSON.parse(JSON.stringify(partJson(part))) as never)).toEqual(part);
  expect(() => partOf({ kind: 'OTHER', shard_id: 's' })).toThrow('unknown kind');
  const state = {
    ...waveState({}),
    done: 2,
    running: [{ number: 1, shardId: common.shardId, sinceMs: 5, source: null }],
  };
  expect(waveState(JSON.parse(JSON.stringify(waveStateJson(state))) as never)).toEqual(state);
  expect(reasonsInWords({ SHARD_BUSY: 1, PLAN_STALE: 3 })).toBe('3 PLAN_STALE, 1 SHARD_BUSY');
});
