import { nodeId } from '../../shared/domain/ids.ts';
import { setReplicationConfig } from '../../shared/usecases/change-replication.ts';
import { checkMembershipChange, startMembershipChange } from '../../shared/usecases/move-replica.ts';
import { setRebalanceConfig } from '../../shared/usecases/rebalance-config.ts';
import { ADMIN } from '../support/use-case-world.ts';
import { expectSettled, numberOf, waveStory } from '../support/wave-story.ts';
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

describe('copies by their number', () => {
  const COUNT_EVERY_MS = 60_000;
  const repairs = async (told: WaveStory): Promise<number> => {
    const page = await told.world.records.query('operation', { partition: {}, order: 'backward', limit: 1000 });
    return page.items.filter(({ value }) => value.type === 'repair-shards').length;
  };
  const setFactor = async (told: WaveStory, replication_factor: number): Promise<string> => {
    const body = { replication_factor };
    const answer = await told.world.call('setReplicationConfig', setReplicationConfig, { body });
    if (!answer.ok || answer.value.operation_id === null) throw new Error('not started');
    return answer.value.operation_id;
  };
  const counted = async (told: WaveStory): Promise<void> => {
    await told.wait(COUNT_EVERY_MS);
    await told.tick();
  };
  const copies = async (told: WaveStory): Promise<number[]> =>
    (await told.shards()).map(({ replicas }) => replicas.length);

  test('what a change of the factor gave up is made up for as soon as a node can take it', () =>
    waveStory(async (told) => {
      const raise = await setFactor(told, 5);
      await told.nodes.kill(5);
      const ended = await told.ended(raise);
      expect(ended.steps.at(-1)?.detail).toMatch(/left out: .*NODE_UNHEALTHY/);
      expect(Math.min(...(await copies(told)))).toBe(4);
      const before = await repairs(told);
      await counted(told); // nobody can take them yet
      expect(await repairs(told)).toBe(before);
      await told.nodes.revive(5);
      await counted(told);
      const repair = await told.newest('repair-shards');
      expect(await told.ended(repair?.operationId ?? '')).toMatchObject({ status: 'SUCCEEDED', outcome: 'APPLIED' });
      expect(await copies(told)).toEqual([5, 5, 5, 5, 5, 5]);
      for (const { minInSync } of await told.shards()) expect(minInSync).toBe(3);
      await expectSettled(told);
      await counted(told); // nothing is left to do
      expect((await told.newest('repair-shards'))?.operationId).toBe(repair?.operationId);
    }));

  test('while the factor is being changed it is left to that', () =>
    waveStory(async (told) => {
      const raise = await setFactor(told, 4);
      await counted(told);
      expect(await repairs(told)).toBe(0);
      await told.ended(raise);
      expect(await copies(told)).toEqual([4, 4, 4, 4, 4, 4]);
    }));

  test('a copy too many goes once all are in sync', () =>
    waveStory(async (told) => {
      const [first] = await told.shards();
      const located = await told.world.directory.locate(first!.shardId);
      const free = [1, 2, 3, 4, 5].find((node) => !first!.replicas.some(({ nodeId }) => nodeId === `node-${node}`))!;
      const add = [nodeId(`node-${free}`)];
      const checked = await checkMembershipChange(told.world.deps, first!, { add, remove: [], replicationFactor: 3 });
      if (!checked.ok || located === null) throw new Error('not planned');
      const move = await startMembershipChange(told.world.deps, ADMIN, located, { input: checked.value });
      if (!move.ok) throw new Error(move.error.code);
      await told.ended(move.value.operationId);
      const lagging = (await told.shards())[0]!.replicas.at(-1)!;
      expect(await copies(told)).toEqual([4, 3, 3, 3, 3, 3]);
      await told.nodes.kill(numberOf(lagging.nodeId));
      await counted(told);
      expect(await repairs(told)).toBe(0);
      await told.nodes.revive(numberOf(lagging.nodeId));
      await told.wait(5_000);
      await counted(told);
      const repair = await told.newest('repair-shards');
      expect(await told.ended(repair?.operationId ?? '')).toMatchObject({ status: 'SUCCEEDED' });
      expect(await copies(told)).toEqual([3, 3, 3, 3, 3, 3]);
      await expectSettled(told);
    }));
});
