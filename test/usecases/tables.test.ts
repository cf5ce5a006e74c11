import { checkDescriptor, checkTiling } from '../../shared/domain/invariants.ts';
import { nodeId, operationId, tableName } from '../../shared/domain/ids.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { fenceNode } from '../../shared/usecases/fence-node.ts';
import { getOperation, listOperations } from '../../shared/usecases/operations.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { batchRoutes, getRoute } from '../../shared/usecases/routes.ts';
import { registerNode } from '../../shared/usecases/register-node.ts';
import { listShards } from '../../shared/usecases/shards.ts';
import { createTable, deleteTable, getTable } from '../../shared/usecases/tables.ts';
import { machine as deleteTableMachine } from '../../state-machines/delete-table/steps.ts';
import { operationsOf } from '../support/operations.ts';
import type { StepTask } from '../support/operations.ts';
import { registered, useCaseWorld } from '../support/use-case-world.ts';
import type { UseCaseWorld } from '../support/use-case-world.ts';

describe('tables as operations (create-table, delete-table)', () => {
  let world: UseCaseWorld;
  let operations: ReturnType<typeof operationsOf>;
  beforeEach(async () => {
    world = useCaseWorld();
    operations = operationsOf(world);
    await registered(world, 1, 2, 3, 4, 5);
  });
  afterEach(async () => {
    await operations.stop();
    world.close();
  });

  const create = async (body: Parameters<typeof createTable>[2]['body']): Promise<string> => {
    const answer = await world.call('createTable', createTable, { body });
    if (!answer.ok) throw new Error(`${answer.error.code}: ${answer.error.message}`);
    return answer.value.operation_id;
  };
  const shardsOf = async (table: string): Promise<ShardDescriptor[]> => {
    const stored = await world.records.get('table', { table: tableName(table) });
    if (stored === null) return [];
    const page = await world.directory.scan(stored.value.tableId, { fromKey: '' as never, limit: 10_000 });
    return page.shards.map(({ shard }) => shard);
  };
  const keys = (count: number): string[] => Array.from({ length: count }, (_, i) => `k${String(i).padStart(5, '0')}`);

  test('a pre-split table of several batches: tiled, spread, every replica created, every leader started', async () => {
    const id = await create({ table: 'cities', pre_split: keys(129) });
    expect(await operations.ended(id)).toMatchObject({
      status: 'SUCCEEDED',
      outcome: 'APPLIED',
      progress: { done: 130, total: 130 },
      waitingOn: null,
    });
    const shards = await shardsOf('cities');
    expect(checkTiling('cities', shards)).toEqual([]);
    expect(shards.flatMap(checkDescriptor)).toEqual([]);
    expect(world.sent.filter(({ type }) => type === 'create_replica')).toHaveLength(390);
    expect(world.sent.filter(({ type }) => type === 'become_leader')).toHaveLength(130);
    const perNode = [1, 2, 3, 4, 5].map(
      (node) =>
        shards.flatMap(({ replicas }) => replicas).filter((replica) => replica.nodeId === `node-${node}`).length,
    );
    expect(Math.max(...perNode) - Math.min(...perNode)).toBeLessThanOrEqual(1);
    expect(await world.call('getTable', getTable, { params: { table: 'cities' } })).toMatchObject({
      ok: true,
      value: { state: 'ACTIVE', shards: 130 },
    });
    const shown = await world.call('getOperation', getOperation, { params: { operation_id: id } });
    expect(shown.ok && shown.value.execution_arn).toContain(id);
    expect(shown.ok && shown.value.steps.map(({ name }) => name)).toContain('activate');
  });

  test('every step run twice, its first answer lost, makes the same table', async () => {
    await operations.stop();
    operations = operationsOf(world, async (task: StepTask, run) => {
      const first = await run();
      // A step that waits is repeated under its next token by the state machine; here the others.
      return task.task_token === undefined && first.next !== 'done' && task.step !== 'advance' ? run() : first;
    });
    const id = await create({ table: 'cities', pre_split: keys(60) });
    expect(await operations.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
    const shards = await shardsOf('cities');
    expect(shards).toHaveLength(61);
    expect(checkTiling('cities', shards)).toEqual([]);
  });

  test('routes: by key, distinct routes of several keys, pages in key order', async () => {
    await operations.ended(await create({ table: 'cities', pre_split: ['g', 'p'] }));
    const route = await world.call('getRoute', getRoute, { params: { table: 'cities' }, query: { key: 'hello' } });
    expect(route).toMatchObject({
      ok: true,
      value: { start_key: 'g', end_key: 'p', epoch: 1, leader: { host: '127.0.0.1' } },
    });
    const several = await world.call('batchRoutes', batchRoutes, {
      params: { table: 'cities' },
      body: { keys: ['z', 'a', 'b', 'zz'] },
    });
    expect(several.ok && several.value.routes.map(({ start_key }) => start_key)).toEqual(['', 'p']);
    const page = await world.call('batchRoutes', batchRoutes, {
      params: { table: 'cities' },
      body: { from_key: null, limit: 2 },
    });
    expect(page.ok && [page.value.routes.length, page.value.next_cursor]).toEqual([2, 'p']);
  });

  test('a warm lookup costs one store request (N4)', async () => {
    await operations.ended(await create({ table: 'cities', pre_split: keys(500) }));
    const look = (key: string) => world.call('getRoute', getRoute, { params: { table: 'cities' }, query: { key } });
    await look('k00250');
    expect(await world.faults.during(() => look('k00250x'))).toEqual(['query']);
  });

  test('int64 keys are shown as integers and ordered as such', async () => {
    await operations.ended(await create({ table: 'numbers', key_type: 'int64', pre_split: ['-5', '0', '10'] }));
    const page = await world.call('listShards', listShards, { query: { table: 'numbers' } });
    expect(
      page.ok && page.value.shards.map(({ data_range_start, data_range_end }) => [data_range_start, data_range_end]),
    ).toEqual([
      ['', '-5'],
      ['-5', '0'],
      ['0', '10'],
      ['10', null],
    ]);
    expect(
      await world.call('getRoute', getRoute, { params: { table: 'numbers' }, query: { key: '-1' } }),
    ).toMatchObject({ ok: true, value: { start_key: '-5', end_key: '0' } });
    expect(await world.call('getRoute', getRoute, { params: { table: 'numbers' }, query: { key: 'x' } })).toMatchObject(
      { ok: false, error: { kind: 'INVALID', field: 'key' } },
    );
  });

  test('shards are listed by table, by node, and over all tables, page by page without gap or repetition', async () => {
    await operations.ended(await create({ table: 'a', pre_split: keys(4) }));
    await operations.ended(await create({ table: 'b' }));
    await operations.ended(await create({ table: 'c', pre_split: keys(2), replication_factor: 1 }));
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await world.call('listShards', listShards, {
        query: { limit: 2, ...(cursor === undefined ? {} : { cursor }) },
      });
      if (!page.ok) throw new Error(page.error.message);
      seen.push(...page.value.shards.map(({ table, data_range_start }) => `${table}/${data_range_start}`));
      cursor = page.value.next_cursor ?? undefined;
    } while (cursor !== undefined);
    expect(seen).toEqual(['a/', 'a/k00000', 'a/k00001', 'a/k00002', 'a/k00003', 'b/', 'c/', 'c/k00000', 'c/k00001']);
    const ofNode = await world.call('listShards', listShards, { query: { node: 'node-1' } });
    expect(ofNode.ok && ofNode.value.shards.every(({ replicas }) => replicas.includes('node-1'))).toBe(true);
    expect(await world.call('listShards', listShards, { query: { node: 'node-9' } })).toMatchObject({
      ok: false,
      error: { code: 'NODE_NOT_FOUND' },
    });
    expect(await world.call('listShards', listShards, { query: { table: 'nope' } })).toMatchObject({
      ok: false,
      error: { code: 'TABLE_NOT_FOUND' },
    });
  });

  test('deleting removes the replicas, the directory, the locators, and frees the name', async () => {
    await operations.ended(await create({ table: 'cities', pre_split: keys(70) }));
    const [shard] = await shardsOf('cities');
    const answer = await world.call('deleteTable', deleteTable, { params: { table: 'cities' } });
    if (!answer.ok) throw new Error(answer.error.message);
    expect(await operations.ended(answer.value.operation_id)).toMatchObject({
      status: 'SUCCEEDED',
      progress: { done: 71, total: 71 },
    });
    expect(world.sent.filter(({ type }) => type === 'remove_replica')).toHaveLength(213);
    expect(await world.directory.locate(shard!.shardId)).toBeNull();
    expect((await world.directory.replicasOn(nodeId('node-1'), { limit: 10 })).replicas).toEqual([]);
    expect(await operations.ended(await create({ table: 'cities' }))).toMatchObject({ status: 'SUCCEEDED' });
    expect(await world.call('getRoute', getRoute, { params: { table: 'cities' }, query: { key: 'k' } })).toMatchObject({
      ok: true,
      value: { start_key: '', end_key: null },
    });
  });

  test('a deletion that could not finish ends FAILED with its reason, and deleting again goes on from there', async () => {
    await operations.ended(await create({ table: 'cities', pre_split: keys(3) }));
    Object.assign(world.deps.operations, {
      start: async (_type: string, id: string) => ({ executionArn: `arn:${id}` }),
    });
    const first = await world.call('deleteTable', deleteTable, { params: { table: 'cities' } });
    if (!first.ok) throw new Error(first.error.message);
    const stuck = {
      operationId: operationId(first.value.operation_id),
      step: 'fail',
      taskToken: null,
      executionArn: null,
    };
    expect(await deleteTableMachine.steps['fail']?.(world.deps, stuck)).toEqual({ next: 'done' });
    expect(
      await world.call('getOperation', getOperation, { params: { operation_id: first.value.operation_id } }),
    ).toMatchObject({
      ok: true,
      value: { status: 'FAILED', error: { code: 'STEP_FAILED' } },
    });
    await operations.stop();
    operations = operationsOf(world);
    const second = await world.call('deleteTable', deleteTable, { params: { table: 'cities' } });
    if (!second.ok) throw new Error(second.error.message);
    expect(await operations.ended(second.value.operation_id)).toMatchObject({ status: 'SUCCEEDED' });
  });

  test('nodes that die between request and plan: rolled back, with the reason, and nothing is left', async () => {
    await operations.stop();
    operations = operationsOf(world, async (task: StepTask, run) => {
      if (task.step === 'plan')
        for (const node of [2, 3, 4]) await fenceNode(world.deps, SYSTEM('detector'), await world.liveness(node));
      return run();
    });
    const id = await create({ table: 'cities' });
    expect(await operations.ended(id)).toMatchObject({
      status: 'FAILED',
      outcome: 'ROLLED_BACK',
      error: { code: 'NOT_ENOUGH_NODES' },
    });
    expect(await world.call('getTable', getTable, { params: { table: 'cities' } })).toMatchObject({
      ok: false,
      error: { code: 'TABLE_NOT_FOUND' },
    });
  });

  test('nodes that die after the directory was half built: the shards that stand are removed again', async () => {
    await operations.stop();
    let built = 0;
    operations = operationsOf(world, async (task: StepTask, run) => {
      if (task.step === 'build-directory' && built++ === 1)
        for (const node of [2, 3, 4]) await fenceNode(world.deps, SYSTEM('detector'), await world.liveness(node));
      return run();
    });
    const id = await create({ table: 'cities', pre_split: keys(80) });
    expect(await operations.ended(id)).toMatchObject({
      status: 'FAILED',
      outcome: 'ROLLED_BACK',
      error: { code: 'NOT_ENOUGH_NODES' },
    });
    expect((await world.directory.replicasOn(nodeId('node-1'), { limit: 10 })).replicas).toEqual([]);
  });

  test('nodes that all start again before their replicas were created: copies are made where they still prove the entries (E4)', async () => {
    await operations.stop();
    let built = false;
    operations = operationsOf(world, async (task: StepTask, run) => {
      if (task.step === 'create-replicas' && !built) {
        built = true;
        for (const node of [1, 2, 3, 4, 5]) await fenceNode(world.deps, SYSTEM('detector'), await world.liveness(node));
        await registered(world, 1, 2, 3, 4);
        const wiped = { node_id: 'node-5', host: '127.0.0.1', port: 7005, zone: 'z5', store_uuid: 'store-5b' };
        await world.call('registerNode', registerNode, { body: wiped });
      }
      return run();
    });
    const id = await create({ table: 'cities', replication_factor: 5 });
    expect(await operations.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
    expect(
      world.sent
        .filter(({ type }) => type === 'create_replica')
        .map((draft) => draft.nodeId as string)
        .sort(),
    ).toEqual(['node-1', 'node-2', 'node-3', 'node-4']);
  });

  test.each<[string, Omit<Parameters<typeof createTable>[2]['body'], 'table'>, object]>([
    ['split keys out of order', { pre_split: ['b', 'a'] }, { code: 'INVALID_REQUEST', field: 'pre_split.1' }],
    ['a split key twice', { pre_split: ['a', 'a'] }, { code: 'INVALID_REQUEST', field: 'pre_split.1' }],
    ['an empty split key', { pre_split: ['a', ''] }, { code: 'INVALID_KEY', field: 'pre_split.1' }],
    [
      'text keys in an int64 table',
      { key_type: 'int64', pre_split: ['abc'] },
      { code: 'INVALID_KEY', field: 'pre_split.0' },
    ],
    [
      'split keys beyond what an item holds',
      { pre_split: keys(300).map((key) => key + 'x'.repeat(990)) },
      { code: 'INVALID_REQUEST', field: 'pre_split' },
    ],
    ['more replicas than nodes', { replication_factor: 6 }, { code: 'NOT_ENOUGH_NODES' }],
  ])('refused, nothing stored: %s', async (_what, body, error) => {
    const answer = await world.call('createTable', createTable, { body: { table: 'bad', ...body } });
    expect(answer).toMatchObject({ ok: false, error });
    expect(await world.call('listOperations', listOperations, {})).toMatchObject({
      ok: true,
      value: { operations: [] },
    });
    expect(await world.call('getTable', getTable, { params: { table: 'bad' } })).toMatchObject({ ok: false });
  });

  test('a name that is taken, a table that is not there, a table under construction', async () => {
    await operations.ended(await create({ table: 'cities' }));
    expect(await world.call('createTable', createTable, { body: { table: 'cities' } })).toMatchObject({
      ok: false,
      error: { code: 'TABLE_EXISTS' },
    });
    expect(await world.call('deleteTable', deleteTable, { params: { table: 'nope' } })).toMatchObject({
      ok: false,
      error: { code: 'TABLE_NOT_FOUND' },
    });
    world.answer(() => ({ outcome: 'QUEUED' }));
    await create({ table: 'slow' });
    expect(await world.call('getRoute', getRoute, { params: { table: 'slow' }, query: { key: 'k' } })).toMatchObject({
      ok: false,
      error: { code: 'TABLE_NOT_ACTIVE' },
    });
    expect(await world.call('deleteTable', deleteTable, { params: { table: 'slow' } })).toMatchObject({
      ok: false,
      error: { code: 'TABLE_NOT_ACTIVE' },
    });
  });
});
