import { nodeId, operationId } from '../../shared/domain/ids.ts';
import { decommissionNode, drainNode } from '../../shared/usecases/drain-node.ts';
import { cordonNode, maintainNode, uncordonNode } from '../../shared/usecases/node-care.ts';
import { getNode, listNodes } from '../../shared/usecases/nodes.ts';
import {
  cancelOperation,
  pauseOperation,
  redriveOperation,
  resumeOperation,
} from '../../shared/usecases/operations.ts';
import { registerNode } from '../../shared/usecases/register-node.ts';
import { setRebalanceConfig } from '../../shared/usecases/rebalance-config.ts';
import { notePart } from '../../state-machines/waves-parts.ts';
import { expectSettled, waveStory } from '../support/wave-story.ts';
import type { WaveStory } from '../support/wave-story.ts';

/** Nodes out of service: drained, decommissioned, cordoned, under maintenance. */

const on = (node: number) => ({ params: { node_id: `node-${node}` } });
const record = async (told: WaveStory, node: number) => {
  const stored = await told.world.records.get('node', { nodeId: nodeId(`node-${node}`) });
  if (stored === null) throw new Error('no node');
  return stored.value;
};

async function decommissioned(told: WaveStory, node: number): Promise<string> {
  const answer = await told.world.call('decommissionNode', decommissionNode, on(node));
  if (!answer.ok) throw new Error(`${answer.error.code}: ${answer.error.message}`);
  expect(answer.value.message).toBe(`Node node-${node} marked for decommission`);
  return answer.value.operation_id ?? '';
}

/** Seconds of virtual time until a part has been tried and can't start. */
const LOOKS_MAX = 120;

describe('a drain whose part can not start', () => {
  test.each([
    ['left out', { status: 'SKIPPED', reason: 'PLAN_STALE' }],
    ['done', { status: 'DONE', reason: null }],
    ['failed', { status: 'FAILED', reason: 'NODE_RETURNED' }],
  ] as const)('goes on when a step noted the part as %s and died before it saved the operation (I-10)', (_what, end) =>
    waveStory(async (told) => {
      const others = [2, 3, 4, 5];
      const started = await told.world.call('drainNode', drainNode, { ...on(1), body: {} });
      if (!started.ok || started.value.operation_id === null) throw new Error('not started');
      for (const node of others) await told.world.call('cordonNode', cordonNode, on(node));
      const id = operationId(started.value.operation_id);
      const waits = async (): Promise<boolean> =>
        (await told.world.records.get('operation', { operationId: id }))?.value.waitingOn?.includes('NODE_CORDONED') ===
        true;
      for (let looks = 0; looks < LOOKS_MAX && !(await waits()); looks++) await told.wait(1_000);
      const waiting = (await told.parts(id)).filter(({ status }) => status === 'PLANNED');
      expect(waiting.length).toBeGreaterThan(0);
      for (const { number } of waiting) await notePart(told.world.deps, id, number, end);
      for (const node of others) await told.world.call('uncordonNode', uncordonNode, on(node));
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED', outcome: 'APPLIED' });
      expect((await told.load())[1]).toBeUndefined();
      await expectSettled(told);
    }),
  );
});

describe('a decommission', () => {
  test('empties the node, fences it, and leaves a tombstone that can not come back', () =>
    waveStory(async (told) => {
      const before = await told.world.liveness(1);
      const id = await decommissioned(told, 1);
      const shown = await told.world.call('getNode', getNode, on(1));
      expect(shown).toMatchObject({ ok: true, value: { status: 'DECOMMISSIONING', cordoned: true } });
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED', outcome: 'APPLIED', cancellable: false });
      expect((await told.load())[1]).toBeUndefined();
      const list = await told.world.call('listNodes', listNodes, {});
      expect(list.ok && list.value.nodes.map(({ node_id }) => node_id)).toEqual([
        'node-2',
        'node-3',
        'node-4',
        'node-5',
      ]);
      expect(await record(told, 1)).toMatchObject({ membership: 'DECOMMISSIONED' });
      const lease = await told.world.liveness(1);
      expect(lease.nodeEpoch).toBeGreaterThan(before.nodeEpoch);
      expect(lease.incarnation).toBeNull();
      const again = await told.world.call('registerNode', registerNode, {
        body: {
          node_id: 'node-1',
          host: '127.0.0.1',
          port: 7001,
          zone: 'z1',
          incarnation: 'inc-1-2',
          store_uuid: 'store-1',
        },
      });
      expect(again).toMatchObject({ ok: false, error: { code: 'NODE_DECOMMISSIONED' } });
      await expectSettled(told);
    }));

  test('of a dead node: its replicas are copied from their leaders', () =>
    waveStory(async (told) => {
      await told.nodes.kill(2);
      const id = await decommissioned(told, 2);
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      expect((await told.load())[2]).toBeUndefined();
      expect(await record(told, 2)).toMatchObject({ membership: 'DECOMMISSIONED' });
      await expectSettled(told, [2]);
    }));

  test('is refused with the reason where a rule would break, and nothing is changed', () =>
    waveStory(
      async (told) => {
        const dry = await told.world.call('decommissionNode', decommissionNode, {
          ...on(1),
          query: { dry_run: 'true' },
        });
        expect(dry).toMatchObject({ ok: true, value: { operation_id: null, check: { fits: false } } });
        const answer = await told.world.call('decommissionNode', decommissionNode, on(1));
        expect(answer).toMatchObject({ ok: false, error: { kind: 'CONFLICT', code: 'DRAIN_BLOCKED' } });
        expect(await record(told, 1)).toMatchObject({ membership: 'ACTIVE', cordoned: false });
        expect(await told.newest('drain-node')).toBeNull();
      },
      { replicationFactor: 5 },
    ));

  test('unknown nodes and tombstones are named; a second drain is refused', () =>
    waveStory(async (told) => {
      expect(await told.world.call('decommissionNode', decommissionNode, on(9))).toMatchObject({
        ok: false,
        error: { code: 'NODE_NOT_FOUND' },
      });
      const id = await decommissioned(told, 1);
      expect(await told.world.call('drainNode', drainNode, on(1))).toMatchObject({
        ok: false,
        error: { code: 'DRAIN_RUNNING', detail: { operation_id: id } },
      });
      expect(await told.world.call('uncordonNode', uncordonNode, on(1))).toMatchObject({
        ok: false,
        error: { code: 'DRAIN_RUNNING' },
      });
      await told.ended(id);
      for (const call of [
        told.world.call('decommissionNode', decommissionNode, on(1)),
        told.world.call('cordonNode', cordonNode, on(1)),
      ])
        expect(await call).toMatchObject({ ok: false, error: { code: 'NODE_DECOMMISSIONED' } });
    }));

  test.each([
    ['free', false],
    ['cordoned', true],
  ] as const)('cancelled, it leaves the node %s as before', (_what, cordoned) =>
    waveStory(async (told) => {
      if (cordoned) await told.world.call('cordonNode', cordonNode, on(1));
      for (const node of [2, 3, 4, 5]) told.nodes.pace(node, 'NEVER');
      const id = await decommissioned(told, 1);
      await told.wait(20_000);
      await told.world.call('cancelOperation', cancelOperation, { params: { operation_id: id } });
      expect(await told.ended(id)).toMatchObject({ status: 'CANCELLED', error: null });
      expect(await record(told, 1)).toMatchObject({ membership: 'ACTIVE', cordoned });
      for (const node of [2, 3, 4, 5]) told.nodes.pace(node, 'AT_ONCE');
      await told.wait(5_000);
      await expectSettled(told);
    }),
  );

  test('waits, and says for what, while no node may take the last replicas', () =>
    waveStory(async (told) => {
      await told.world.call('cordonNode', cordonNode, on(5));
      const id = await decommissioned(told, 1);
      await told.nodes.kill(4);
      await told.wait(120_000);
      const waiting = await told.newest('drain-node');
      expect(waiting).toMatchObject({ status: 'RUNNING' });
      expect(waiting?.waitingOn).not.toBeNull();
      await told.world.call('uncordonNode', uncordonNode, on(5));
      await told.nodes.revive(4);
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      await expectSettled(told);
    }));

  test('says why nothing takes what is left, and what to do about it', () =>
    waveStory(async (told) => {
      const id = await decommissioned(told, 1);
      for (const node of [2, 3, 4, 5]) await told.world.call('cordonNode', cordonNode, on(node));
      await told.wait(60_000);
      const waiting = await told.newest('drain-node');
      expect(waiting).toMatchObject({ operationId: id, status: 'RUNNING' });
      expect(waiting?.waitingOn).toMatch(
        /\d+ can't start: NODE_CORDONED \(shard \S+; the nodes that could take it are cordoned: uncordon one, or add one\)/,
      );
      for (const node of [2, 3, 4, 5]) await told.world.call('uncordonNode', uncordonNode, on(node));
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
    }));

  test.each([
    ['put_back', false],
    ['keep_cordon', true],
  ] as const)('with a deadline it is undone when that has passed: %s', (on_deadline, cordoned) =>
    waveStory(async (told) => {
      const body = { deadline_seconds: 120, on_deadline };
      const started = await told.world.call('drainNode', drainNode, { params: { node_id: 'node-1' }, body });
      if (!started.ok || started.value.operation_id === null) throw new Error('not started');
      for (const node of [2, 3, 4, 5]) await told.world.call('cordonNode', cordonNode, on(node));
      await told.wait(100_000);
      expect(await told.newest('drain-node')).toMatchObject({ status: 'RUNNING' });
      const ended = await told.ended(started.value.operation_id);
      expect(ended).toMatchObject({ status: 'FAILED', outcome: 'ROLLED_BACK', error: { code: 'DEADLINE_PASSED' } });
      expect(ended.error?.message).toMatch(/^Node node-1 was not empty after 120 s: .* It waited on: .*NODE_CORDONED/);
      expect(await record(told, 1)).toMatchObject({ membership: 'ACTIVE', cordoned });
      await expectSettled(told);
      // A redrive has the same time again.
      for (const node of [2, 3, 4, 5]) await told.world.call('uncordonNode', uncordonNode, on(node));
      await told.world.call('redriveOperation', redriveOperation, {
        params: { operation_id: started.value.operation_id },
      });
      expect(await told.ended(started.value.operation_id)).toMatchObject({ status: 'SUCCEEDED', error: null });
      expect(await record(told, 1)).toMatchObject({ cordoned: true });
    }),
  );

  test('a deadline that is met changes nothing', () =>
    waveStory(async (told) => {
      const started = await told.world.call('decommissionNode', decommissionNode, {
        params: { node_id: 'node-1' },
        query: { deadline_seconds: 3_000 },
      });
      if (!started.ok || started.value.operation_id === null) throw new Error('not started');
      expect(await told.ended(started.value.operation_id)).toMatchObject({ status: 'SUCCEEDED' });
      expect(await record(told, 1)).toMatchObject({ membership: 'DECOMMISSIONED' });
    }));

  test.each(['plan', 'execute', 'finish'])('the process dies after %s', (step) =>
    waveStory(async (told) => {
      let died = false;
      told.around(async (task, run) => {
        if (task.step !== step || died || task.operation_id.split('-').length > 3) return run();
        died = true;
        await run();
        await told.restart();
        throw new Error('died');
      });
      const id = await decommissioned(told, 1);
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      expect(await record(told, 1)).toMatchObject({ membership: 'DECOMMISSIONED' });
      await expectSettled(told);
    }),
  );

  test('paused and resumed, with a node that dies in between', () =>
    waveStory(async (told) => {
      const id = await decommissioned(told, 1);
      await told.wait(3_000);
      await told.world.call('pauseOperation', pauseOperation, { params: { operation_id: id } });
      expect(await told.ended(id)).toMatchObject({ status: 'PAUSED' });
      await told.nodes.kill(3);
      await told.wait(30_000);
      await told.nodes.revive(3);
      await told.world.call('resumeOperation', resumeOperation, { params: { operation_id: id } });
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      await told.wait(5_000);
      await expectSettled(told);
    }));
});

test('a drained node stays, empty and cordoned, until it is uncordoned', () =>
  waveStory(async (told) => {
    const answer = await told.world.call('drainNode', drainNode, on(1));
    if (!answer.ok || answer.value.operation_id === null) throw new Error('not started');
    expect(await told.ended(answer.value.operation_id)).toMatchObject({ status: 'SUCCEEDED' });
    expect((await told.load())[1]).toBeUndefined();
    expect(await record(told, 1)).toMatchObject({ membership: 'ACTIVE', cordoned: true });
    await told.world.call('uncordonNode', uncordonNode, on(1));
    expect(await record(told, 1)).toMatchObject({ cordoned: false });
    await expectSettled(told);
  }));

describe('maintenance', () => {
  test('takes the leaders away, holds repair back, and ends by itself', () =>
    waveStory(async (told) => {
      await told.world.call('setRebalanceConfig', setRebalanceConfig, { body: { repair_after_seconds: 10 } });
      const before = await told.load();
      const [busiest] = Object.entries(await told.leaders()).sort(([, a], [, b]) => b - a);
      const node = Number(busiest?.[0]);
      const answer = await told.world.call('maintainNode', maintainNode, { ...on(node), body: { seconds: 600 } });
      if (!answer.ok || answer.value.operation_id === null) throw new Error('not started');
      expect(answer.value.cordoned).toBe(true);
      expect(await told.ended(answer.value.operation_id)).toMatchObject({ status: 'SUCCEEDED' });
      expect((await told.leaders())[node]).toBeUndefined();
      expect(await told.load()).toEqual(before);
      await told.nodes.kill(node);
      await told.wait(60_000);
      await told.tick();
      expect(await told.newest('repair-shards')).toBeNull();
      await told.nodes.revive(node);
      await told.wait(600_000);
      await told.tick();
      expect(await record(told, node)).toMatchObject({ cordoned: false, maintenance: null });
      await expectSettled(told);
    }));

  test('on a cordoned node leaves it cordoned', () =>
    waveStory(async (told) => {
      await told.world.call('cordonNode', cordonNode, on(1));
      await told.world.call('maintainNode', maintainNode, { ...on(1), body: { seconds: 10 } });
      await told.wait(60_000);
      await told.tick();
      expect(await record(told, 1)).toMatchObject({ cordoned: true, maintenance: null });
    }));
});
