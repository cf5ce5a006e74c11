import { operationId } from '../../shared/domain/ids.ts';
import { setReplicationConfig, setTableReplication } from '../../shared/usecases/change-replication.ts';
import { drainNode } from '../../shared/usecases/drain-node.ts';
import { mergeShards } from '../../shared/usecases/merge-shards.ts';
import { cancelOperation } from '../../shared/usecases/operations.ts';
import { rebalanceShards } from '../../shared/usecases/rebalance.ts';
import { setRebalanceConfig } from '../../shared/usecases/rebalance-config.ts';
import { splitShard } from '../../shared/usecases/split-shard.ts';
import { expectSettled, waveStory } from '../support/wave-story.ts';
import type { WaveStory } from '../support/wave-story.ts';

/**
 * Operations that want the same shards or nodes at the same time: one waits, and none waits for another that waits for it. That they end is not enough, as
 * each has bounds after which it gives up: they end long before those. docs/operations.md, "Who waits for whom".
 */

/** Far below the first bound at which anything is given up (5 minutes for a leadership), and above what some rounds of retries take. */
const SOON_MS = 180_000;

const started = <T extends { readonly operation_id: string | null }>(
  answer: { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: { readonly code: string } },
): string => {
  if (!answer.ok) throw new Error(answer.error.code);
  if (answer.value.operation_id === null) throw new Error('nothing was started');
  return answer.value.operation_id;
};
const factor = async (told: WaveStory, replication_factor: number): Promise<string> =>
  started(await told.world.call('setReplicationConfig', setReplicationConfig, { body: { replication_factor } }));
const drain = async (told: WaveStory, node: number): Promise<string> =>
  started(await told.world.call('drainNode', drainNode, { params: { node_id: `node-${node}` } }));
const cancel = async (told: WaveStory, id: string): Promise<void> => {
  const answer = await told.world.call('cancelOperation', cancelOperation, { params: { operation_id: id } });
  if (!answer.ok) throw new Error(answer.error.code);
};

/** Waits for the end of all of them, and tells how long that took. */
async function all(told: WaveStory, ...ids: readonly string[]): Promise<number> {
  const beganMs = told.world.deps.clock.wallMs();
  for (const id of ids) {
    const { type, status, error } = await told.ended(id);
    expect([type, status === 'CANCELLED' ? 'SUCCEEDED' : status, error]).toEqual([type, 'SUCCEEDED', null]);
  }
  return told.world.deps.clock.wallMs() - beganMs;
}

async function expectCopies(told: WaveStory, copies: number): Promise<void> {
  for (const shard of await told.shards())
    expect([shard.shardId, shard.replicas.length, shard.minInSync]).toEqual([
      shard.shardId,
      copies,
      Math.floor(copies / 2) + 1,
    ]);
  await expectSettled(told);
}

/** Nodes fork and join copies as splits and merges have it, until the answer is called. */
function forking(told: WaveStory): () => Promise<void> {
  let over = false;
  const loop = (async () => {
    while (!over) {
      told.nodes.holdListed(await told.shards());
      await told.wait(500);
    }
  })();
  return () => {
    over = true;
    return loop;
  };
}

/** True once a part of the operation runs that moves a copy. */
const moves = async (told: WaveStory, id: string): Promise<boolean> => {
  const parts = await told.parts(id);
  return parts.some(({ status, childId }) => status === 'RUNNING' && childId !== null);
};
async function until(told: WaveStory, holds: () => Promise<boolean>): Promise<void> {
  for (let looks = 0; !(await holds()); looks++) {
    if (looks > 600) throw new Error('it never came');
    await told.wait(100);
  }
}
/** A step of the operation waits until that holds, no longer than a step may take. */
function holding(told: WaveStory, step: string, id: () => string, holds: () => Promise<boolean>): void {
  told.around(async (task, run) => {
    for (let looks = 0; looks < 100 && task.step === step && task.operation_id === id(); looks++) {
      if (await holds()) break;
      await told.wait(500);
    }
    return run();
  });
}

describe('a drain and a change of the replication factor', () => {
  test('the drain moves shards that do not have their new copies yet, and waits for none of them', () =>
    waveStory(async (told) => {
      await told.ended(await factor(told, 2));
      let raise = '';
      let empty = '';
      // The table says 3, its shards have 2: that is when the drain takes them.
      holding(
        told,
        'execute',
        () => raise,
        async () => empty !== '' && (await moves(told, empty)),
      );
      raise = await factor(told, 3);
      await told.wait(2_000);
      empty = await drain(told, 1);
      await until(told, () => moves(told, empty));
      const [taken] = (await told.shards()).filter(({ state }) => state.kind === 'CHANGING_REPLICAS');
      expect(taken).toMatchObject({ minInSync: 2 });
      expect(await all(told, empty, raise)).toBeLessThan(SOON_MS);
      expect((await told.load())[1]).toBeUndefined();
      await expectCopies(told, 3);
    }));

  test.each([
    [5, 2],
    [5, 4],
    [3, 2],
    [3, 4],
    [2, 3],
  ])('from %d to %d, cancelled half-way while a node is drained: every shard is back', (from, to) =>
    waveStory(
      async (told) => {
        await told.join(6);
        await told.world.call('setRebalanceConfig', setRebalanceConfig, { body: { moves_per_cluster: 2 } });
        if (from !== 3) await told.ended(await factor(told, from));
        const change = await factor(told, to);
        const empty = await drain(told, 1);
        await until(told, () => moves(told, change));
        await cancel(told, change);
        expect(await all(told, change, empty)).toBeLessThan(2 * SOON_MS);
        await expectCopies(told, from);
      },
      { shards: 8 },
    ),
  );
});

describe('other pairs', () => {
  test('two drains: what leaves one node does not go to the other', () =>
    waveStory(async (told) => {
      const both = [await drain(told, 1), await drain(told, 2)];
      expect(await all(told, ...both)).toBeLessThan(SOON_MS);
      expect([(await told.load())[1], (await told.load())[2]]).toEqual([undefined, undefined]);
      await expectCopies(told, 3);
    }));

  test('two drains that lack a node because of each other say so, and one goes on when the other is cancelled', () =>
    waveStory(async (told) => {
      const [first, second] = [await drain(told, 1), await drain(told, 2)];
      await told.nodes.kill(3);
      await told.wait(2 * SOON_MS);
      for (const node of [1, 2]) expect((await told.load())[node]).toBeGreaterThan(0);
      for (const id of [first, second]) {
        const stored = await told.world.records.get('operation', { operationId: operationId(id) });
        expect(stored?.value.status).toBe('RUNNING');
        expect(stored?.value.waitingOn).toContain("can't start");
      }
      await cancel(told, second);
      expect(await told.ended(second)).toMatchObject({ status: 'CANCELLED', outcome: 'ROLLED_BACK' });
      expect(await told.ended(first)).toMatchObject({ status: 'SUCCEEDED', outcome: 'APPLIED' });
      expect((await told.load())[1]).toBeUndefined();
      await told.nodes.revive(3);
    }));

  test('a drain, a merge and a split', () =>
    waveStory(async (told) => {
      const empty = await drain(told, 1);
      const [first, , third] = await told.shards();
      const merge = started(
        await told.world.call('mergeShards', mergeShards, { params: { shard_id: first!.shardId }, body: {} }),
      );
      const split = started(
        await told.world.call('splitShard', splitShard, {
          params: { shard_id: third!.shardId },
          body: { split_key: 'cc' },
        }),
      );
      const stop = forking(told);
      expect(await all(told, merge, split, empty)).toBeLessThan(SOON_MS);
      await stop();
      expect((await told.load())[1]).toBeUndefined();
      await expectCopies(told, 3);
    }));

  test('a merge and a change of the replication factor', () =>
    waveStory(async (told) => {
      const [first] = await told.shards();
      const merge = started(
        await told.world.call('mergeShards', mergeShards, { params: { shard_id: first!.shardId }, body: {} }),
      );
      const raise = await factor(told, 4);
      const stop = forking(told);
      expect(await all(told, merge, raise)).toBeLessThan(2 * SOON_MS);
      await stop();
      await expectCopies(told, 4);
    }));

  test('a rebalance, a drain and a change of the replication factor', () =>
    waveStory(async (told) => {
      await told.join(6, 7);
      const even = started(await told.world.call('rebalanceShards', rebalanceShards, { body: {} }));
      const empty = await drain(told, 2);
      const raise = await factor(told, 4);
      for (const id of [even, empty, raise]) expect((await told.ended(id)).status).toBe('SUCCEEDED');
      await expectCopies(told, 4);
    }));

  test("the cluster's factor and a table's own: the table's is what its shards have in the end", () =>
    waveStory(
      async (told) => {
        await told.world.call('setRebalanceConfig', setRebalanceConfig, { body: { moves_per_cluster: 1 } });
        const lower = await factor(told, 4);
        await until(told, () => moves(told, lower));
        const body = { replication_factor: 2 };
        const own = started(
          await told.world.call('setTableReplication', setTableReplication, { params: { table: 'rows' }, body }),
        );
        expect(await all(told, lower, own)).toBeLessThan(2 * SOON_MS);
        await expectCopies(told, 2);
        // Planned for the factor of before, and of no use any more.
        const stale = (await told.parts(lower)).filter(({ reason }) => reason === 'PLAN_STALE');
        expect(stale.length).toBeGreaterThan(0);
      },
      { shards: 8 },
    ));
});
