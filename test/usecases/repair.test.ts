import { setRebalanceConfig } from '../../shared/usecases/rebalance-config.ts';
import { expectSettled, waveStory } from '../support/wave-story.ts';
import type { WaveStory } from '../support/wave-story.ts';

/** repair-shards: the tick replaces replicas of nodes that stay fenced longer than `repair_after`. */

const REPAIR_AFTER_MS = 60_000;
const configure = (told: WaveStory, body: Parameters<typeof setRebalanceConfig>[2]['body'] = {}) =>
  told.world.call('setRebalanceConfig', setRebalanceConfig, {
    body: { repair_after_seconds: REPAIR_AFTER_MS / 1000, ...body },
  });

async function repaired(told: WaveStory): Promise<string> {
  await told.wait(REPAIR_AFTER_MS + 1_000);
  await told.tick();
  const repair = await told.newest('repair-shards');
  if (repair === null) throw new Error('no repair was started');
  expect(repair.createdBy).toBe('system:reconciler');
  return repair.operationId;
}

test('replaces what was on the dead node, and only after repair_after', () =>
  waveStory(async (told) => {
    await configure(told);
    await told.nodes.kill(1);
    await told.wait(REPAIR_AFTER_MS / 2);
    await told.tick();
    expect(await told.newest('repair-shards')).toBeNull();
    const id = await repaired(told);
    const ended = await told.ended(id);
    expect(ended).toMatchObject({ status: 'SUCCEEDED', outcome: 'APPLIED' });
    expect(ended.progress.done).toBeGreaterThan(0);
    expect((await told.load())[1]).toBeUndefined();
    for (const shard of await told.shards()) expect(shard.replicas).toHaveLength(3);
    await expectSettled(told, [1]);
    await told.nodes.revive(1);
    await told.wait(5_000);
    await expectSettled(told); // what it still held was destroyed
  }));

test('is not started while braked, while switched off, or where no node is left for a copy', () =>
  waveStory(
    async (told) => {
      await configure(told, { repair: 'off' });
      await told.nodes.kill(1);
      await told.wait(REPAIR_AFTER_MS + 1_000);
      await told.tick();
      await configure(told, { repair: 'on' });
      const detector = {
        holder: 'loop',
        token: 1,
        beat: 1,
        released: false,
        brake: { engagedAtMs: 0, lost: 3, reason: '3 of 5 nodes lost' },
      };
      await told.world.records.observe({
        kind: 'put',
        entity: 'detector',
        value: detector,
        when: [{ kind: 'absent' }],
      });
      await told.tick();
      expect(await told.newest('repair-shards')).toBeNull();
      await told.world.records.observe({ kind: 'update', entity: 'detector', id: {}, set: { brake: null }, when: [] });
      await told.tick(); // five copies on five nodes: nobody can take the sixth
      expect(await told.newest('repair-shards')).toBeNull();
      await told.nodes.revive(1);
    },
    { replicationFactor: 5 },
  ));

test('shards with fewer copies come first', () =>
  waveStory(
    async (told) => {
      await configure(told, { repairs_per_cluster: 1 });
      await told.join(6, 7);
      await told.nodes.kill(1);
      await told.wait(1_000);
      await told.nodes.kill(2);
      const id = await repaired(told);
      const missing = async (): Promise<ReadonlyMap<string, number>> =>
        new Map(
          (await told.shards()).map(({ shardId, replicas }) => [
            shardId as string,
            replicas.filter(({ nodeId }) => nodeId === 'node-1' || nodeId === 'node-2').length,
          ]),
        );
      const before = await missing();
      await told.wait(1_000);
      const order = (await told.parts(id)).map(
        ({ value }) => before.get((value as { shard_id: string }).shard_id) ?? 0,
      );
      const firstOfOne = order.indexOf(1);
      expect(order.filter((lost) => lost === 2).length).toBeGreaterThan(0);
      if (firstOfOne !== -1) expect(order.slice(0, firstOfOne).every((lost) => lost === 2)).toBe(true);
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      await expectSettled(told, [1, 2]);
      await told.nodes.revive(1);
      await told.nodes.revive(2);
    },
    { shards: 8 },
  ));

test('a node that comes back keeps what was not replaced yet', () =>
  waveStory(
    async (told) => {
      await configure(told, { repairs_per_cluster: 1 });
      await told.nodes.kill(1);
      const id = await repaired(told);
      await told.wait(2_000);
      await told.nodes.revive(1);
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      const reasons = (await told.parts(id)).map(({ reason }) => reason);
      expect(reasons).toContain('NODE_RETURNED');
      expect((await told.load())[1]).toBeGreaterThan(0);
      await told.wait(5_000);
      await expectSettled(told);
    },
    { shards: 10 },
  ));

test.each(['plan', 'execute'])('the process dies before %s', (step) =>
  waveStory(async (told) => {
    await configure(told);
    await told.nodes.kill(1);
    let died = false;
    told.around(async (task, run) => {
      if (task.step !== step || died) return run();
      died = true;
      await told.restart();
      throw new Error('died');
    });
    const id = await repaired(told);
    expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
    await expectSettled(told, [1]);
    await told.nodes.revive(1);
  }),
);
