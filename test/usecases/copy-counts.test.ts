import { passOver } from '../../state-machines/change-replication-factor/steps.ts';
import { tableName } from '../../shared/domain/ids.ts';
import type { ShardId } from '../../shared/domain/ids.ts';
import { findShards, shardCursorJson, shardCursorOf } from '../../shared/usecases/copy-counts.ts';
import type { ShardCursor } from '../../shared/usecases/copy-counts.ts';
import { waveStory } from '../support/wave-story.ts';
import type { WaveStory } from '../support/wave-story.ts';

/** Rounds over all shards in ranges: what a change of the factor and the count of copies do with more shards than one step reads. */

const tableOf = async (told: WaveStory) => {
  const stored = await told.world.records.get('table', { table: tableName('rows') });
  if (stored === null) throw new Error('no table');
  return stored.value;
};

test('ranges follow one another without a gap, and end at the last shard', () =>
  waveStory(async (told) => {
    const table = await tableOf(told);
    const seen: string[] = [];
    let from: ShardCursor | null = null;
    let ranges = 0;
    do {
      const limits = { scannedMax: 2, foundMax: 10 };
      const range: Awaited<ReturnType<typeof findShards>> = await findShards(
        told.world.deps,
        [table],
        from,
        limits,
        () => true,
      );
      seen.push(...range.found.map(({ shard }) => shard.shardId));
      from = shardCursorOf(shardCursorJson(range.cursor));
      ranges += 1;
    } while (from !== null);
    expect(seen).toEqual((await told.shards()).map(({ shardId }) => shardId));
    expect(ranges).toBe(3);
  }));

describe('a round of a change of the factor', () => {
  /** Ranges of two shards each until the round ends; what they found, and whether that was nothing. */
  async function round(told: WaveStory, factor: number, busy: ReadonlySet<ShardId> = new Set()) {
    const table = await tableOf(told);
    let parts = 0;
    let at: Parameters<typeof passOver>[3] = { cursor: null, clean: true };
    for (let range = 1; ; range++) {
      const limits = { scannedMax: 2, foundMax: 10 };
      const pass = await passOver(told.world.deps, [table], factor, at, busy, limits);
      parts += pass.parts.length;
      at = pass.next;
      if (at.cursor === null) return { parts, ranges: range, complete: pass.complete };
    }
  }

  test('of several ranges is complete if it found nothing, and not if its last range alone did', () =>
    waveStory(async (told) => {
      expect(await round(told, 3)).toEqual({ parts: 0, ranges: 3, complete: true });
      expect(await round(told, 4)).toEqual({ parts: 6, ranges: 3, complete: false });
      const [first] = await told.shards();
      const busy = new Set((await told.shards()).map(({ shardId }) => shardId));
      expect(await round(told, 4, busy)).toEqual({ parts: 0, ranges: 3, complete: false });
      expect(await round(told, 4, new Set([first!.shardId]))).toEqual({ parts: 5, ranges: 3, complete: false });
    }));
});
