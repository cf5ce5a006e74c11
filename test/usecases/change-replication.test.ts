import { setReplicationConfig, setTableReplication } from '../../shared/usecases/change-replication.ts';
import { getReplicationConfig } from '../../shared/usecases/config.ts';
import { tableName } from '../../shared/domain/ids.ts';
import { cordonNode } from '../../shared/usecases/node-care.ts';
import { cancelOperation, redriveOperation } from '../../shared/usecases/operations.ts';
import { setRebalanceConfig } from '../../shared/usecases/rebalance-config.ts';
import { expectSettled, waveStory } from '../support/wave-story.ts';
import type { WaveStory } from '../support/wave-story.ts';

/** The replication factor, up and down, of the cluster and of a table, by its real machine. */

async function changed(told: WaveStory, factor: number, table?: string): Promise<string> {
  const body = { replication_factor: factor };
  const answer =
    table === undefined
      ? await told.world.call('setReplicationConfig', setReplicationConfig, { body })
      : await told.world.call('setTableReplication', setTableReplication, { params: { table }, body });
  if (!answer.ok) throw new Error(`${answer.error.code}: ${answer.error.message}`);
  return answer.value.operation_id ?? '';
}

const configured = async (told: WaveStory): Promise<number> => {
  const answer = await told.world.call('getReplicationConfig', getReplicationConfig, {});
  if (!answer.ok) throw new Error('no configuration');
  return answer.value.replication_factor;
};
const tableFactor = async (told: WaveStory) => {
  const stored = await told.world.records.get('table', { table: tableName('rows') });
  return [stored?.value.replicationFactor, stored?.value.replicationFactorIsOwn];
};

async function expectFactor(told: WaveStory, factor: number): Promise<void> {
  for (const shard of await told.shards()) {
    expect(shard.replicas).toHaveLength(factor);
    expect(shard.minInSync).toBe(Math.floor(factor / 2) + 1);
  }
  await expectSettled(told);
}

test('up and down again, cluster-wide', () =>
  waveStory(async (told) => {
    const up = await told.world.call('setReplicationConfig', setReplicationConfig, { body: { replication_factor: 5 } });
    if (!up.ok || up.value.operation_id === null) throw new Error('not started');
    expect(up.value).toMatchObject({ status: 'success', message: 'Replication factor updated to 5' });
    expect(await configured(told)).toBe(5);
    expect(await told.ended(up.value.operation_id)).toMatchObject({ status: 'SUCCEEDED', outcome: 'APPLIED' });
    await expectFactor(told, 5);
    expect(await tableFactor(told)).toEqual([5, false]);
    expect(await told.ended(await changed(told, 3))).toMatchObject({ status: 'SUCCEEDED' });
    await expectFactor(told, 3);
    expect(await told.ended(await changed(told, 1))).toMatchObject({ status: 'SUCCEEDED' });
    await expectFactor(told, 1);
  }));

test('of one table, which then no longer follows the cluster', () =>
  waveStory(async (told) => {
    expect(await told.ended(await changed(told, 4, 'rows'))).toMatchObject({ status: 'SUCCEEDED' });
    await expectFactor(told, 4);
    expect(await told.ended(await changed(told, 2))).toMatchObject({ status: 'SUCCEEDED' });
    expect(await configured(told)).toBe(2);
    await expectFactor(told, 4);
    expect(await tableFactor(told)).toEqual([4, true]);
  }));

test('above the number of nodes it is refused with the reason, and nothing is changed; a dry run changes nothing', () =>
  waveStory(async (told) => {
    const ask = (body: { replication_factor: number; dry_run?: boolean }) =>
      told.world.call('setReplicationConfig', setReplicationConfig, { body });
    expect(await ask({ replication_factor: 6 })).toMatchObject({
      ok: false,
      error: { kind: 'CONFLICT', code: 'NOT_ENOUGH_NODES', detail: { needed: 6, available: 5 } },
    });
    expect(await ask({ replication_factor: 5, dry_run: true })).toMatchObject({
      ok: true,
      value: { operation_id: null, shards: 6 },
    });
    expect(await configured(told)).toBe(3);
    expect(await told.newest('change-replication-factor')).toBeNull();
    const id = await changed(told, 4);
    expect(await ask({ replication_factor: 5 })).toMatchObject({
      ok: false,
      error: { code: 'REPLICATION_CHANGE_RUNNING', detail: { operation_id: id } },
    });
    await told.ended(id);
  }));

test('cancelled half-way it brings every shard back', () =>
  waveStory(async (told) => {
    await told.world.call('setRebalanceConfig', setRebalanceConfig, { body: { moves_per_cluster: 1 } });
    const id = await changed(told, 4);
    let some = 0;
    while (some === 0) {
      await told.wait(500);
      some = (await told.parts(id)).filter(({ status }) => status === 'DONE').length;
    }
    await told.world.call('cancelOperation', cancelOperation, { params: { operation_id: id } });
    expect(await told.ended(id)).toMatchObject({ status: 'CANCELLED', outcome: 'ROLLED_BACK', error: null });
    expect(await configured(told)).toBe(3);
    expect(await tableFactor(told)).toEqual([3, false]);
    await expectFactor(told, 3);
  }));

test('a node that is dead, cordoned or gone is not counted, by the cluster and by a table; a lower factor is always taken', () =>
  waveStory(async (told) => {
    await told.nodes.kill(5);
    const ask = (replication_factor: number) =>
      told.world.call('setReplicationConfig', setReplicationConfig, { body: { replication_factor } });
    expect(await ask(5)).toMatchObject({
      ok: false,
      error: { code: 'NOT_ENOUGH_NODES', detail: { needed: 5, available: 4, down: 1, cordoned: 0 } },
    });
    await told.world.call('cordonNode', cordonNode, { params: { node_id: 'node-4' } });
    const ofTable = { params: { table: 'rows' }, body: { replication_factor: 4 } };
    expect(await told.world.call('setTableReplication', setTableReplication, ofTable)).toMatchObject({
      ok: false,
      error: { code: 'NOT_ENOUGH_NODES', detail: { needed: 4, available: 3, down: 1, cordoned: 1 } },
    });
    expect(await told.newest('change-replication-factor')).toBeNull();
    await told.nodes.kill(3);
    await told.nodes.kill(2);
    const down = await ask(2);
    expect(down).toMatchObject({ ok: true });
    if (down.ok && down.value.operation_id !== null)
      await told.world.call('cancelOperation', cancelOperation, { params: { operation_id: down.value.operation_id } });
  }));

test('with a node that dies it does what it can, waits, and tells what is left', () =>
  waveStory(async (told) => {
    const id = await changed(told, 5);
    await told.nodes.kill(5);
    await told.wait(60_000);
    expect((await told.newest('change-replication-factor'))?.waitingOn).toContain('NODE_UNHEALTHY');
    await told.nodes.revive(5);
    expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
    await expectFactor(told, 5);
  }));

test('gives up after a while without progress, with its reasons; asked again it goes on', () =>
  waveStory(async (told) => {
    const id = await changed(told, 5);
    await told.nodes.kill(5);
    const ended = await told.ended(id);
    expect(ended.status).toBe('SUCCEEDED');
    expect(ended.steps.at(-1)?.detail).toMatch(/left out: .*NODE_UNHEALTHY/);
    await told.nodes.revive(5);
    expect(await told.ended(await changed(told, 5))).toMatchObject({ status: 'SUCCEEDED' });
    await expectFactor(told, 5);
  }));

test.each(['begin', 'plan', 'execute', 'finish'])('the process dies after %s, every time for a while', (step) =>
  waveStory(async (told) => {
    let left = 3;
    told.around(async (task, run) => {
      if (task.step !== step || left === 0) return run();
      left -= 1;
      await run();
      await told.restart();
      throw new Error('died');
    });
    const id = await changed(told, 4);
    expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
    await expectFactor(told, 4);
  }),
);

test('a step that keeps failing undoes it; redriven it goes through', () =>
  waveStory(async (told) => {
    let broken = true;
    told.around((task, run) =>
      broken && task.step === 'execute' ? Promise.reject(new Error('the store is away')) : run(),
    );
    const id = await changed(told, 4);
    expect(await told.ended(id)).toMatchObject({ status: 'FAILED', outcome: 'ROLLED_BACK' });
    expect(await configured(told)).toBe(3);
    broken = false;
    await told.world.call('redriveOperation', redriveOperation, { params: { operation_id: id } });
    expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
    expect(await configured(told)).toBe(4);
    await expectFactor(told, 4);
  }));
