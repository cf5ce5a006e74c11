import { ServeIntervals } from '../../bench/load/serve-intervals.ts';
import type { ServeEvent } from '../../bench/load/serve-intervals.ts';
import { percentile } from '../../bench/load/statistics.ts';
import { preSplitKeys, shardNumber } from '../../bench/failover/workload.ts';

const served = (nodeId: string, epoch: number, fromMs: number, toMs = fromMs, shardId = 'shard-1'): ServeEvent => ({
  nodeId,
  epoch,
  fromMs,
  toMs,
  shardId,
});
const overlapsOf = (...events: ServeEvent[]): readonly (readonly [string, string])[] => {
  const intervals = new ServeIntervals();
  for (const event of events) intervals.add(event);
  return intervals.overlaps().map(({ nodes }) => nodes);
};

describe('double leaders', () => {
  test('one leader after the other is none', () => {
    expect(overlapsOf(served('a', 1, 0), served('a', 1, 50), served('b', 2, 60), served('b', 2, 90))).toEqual([]);
  });
  test('an answer of the old leader amid those of the new one is one, in whatever order the logs are read', () => {
    expect(overlapsOf(served('b', 2, 60), served('b', 2, 90), served('a', 1, 0), served('a', 1, 70))).toEqual([
      ['b', 'a'],
    ]);
  });
  test('a node that leads again under a later epoch did not lead in between', () => {
    expect(overlapsOf(served('a', 1, 0, 10), served('b', 2, 20, 30), served('a', 3, 40, 50))).toEqual([]);
  });
  test('two shards have nothing to do with each other', () => {
    expect(overlapsOf(served('a', 1, 0, 90), served('b', 1, 0, 90, 'shard-2'))).toEqual([]);
  });
});

test('percentiles by nearest rank', () => {
  const samples = [5, 1, 4, 2, 3];
  expect([50, 99, 100].map((p) => percentile(samples, p))).toEqual([3, 5, 5]);
  expect(percentile([], 99)).toBeNull();
});

test('the split keys give every shard its number', () => {
  expect(['', ...preSplitKeys(3)].map(shardNumber)).toEqual([0, 1, 2]);
});
