import { resourcesOf } from '../../shared/domain/operation-resources.ts';
import { drainNode } from '../../shared/usecases/drain-node.ts';
import { listOperations } from '../../shared/usecases/operations.ts';
import { createTable } from '../../shared/usecases/tables.ts';
import { registered, useCaseWorld } from '../support/use-case-world.ts';

/** Operations found by what they are about. */

test.each<[string, Parameters<typeof resourcesOf>[0]['input'], string[]]>([
  ['a split', { shard_id: 's-1', table: 'rows', split_key: null }, ['s-1', 'rows']],
  ['a merge', { shard_id: 's-1', with_shard_id: 's-2', table: 'rows' }, ['s-1', 's-2', 'rows']],
  [
    'a move',
    {
      shard_id: 's-1',
      add: ['n-4'],
      remove: [{ node_id: 'n-1', replica_id: 'r-1' }],
      replication_factor: 3,
      seen: ['r-1'],
    },
    ['s-1', 'n-4', 'n-1'],
  ],
  ['a drain', { node_id: 'n-1', mode: 'DRAIN' }, ['n-1']],
  ['a table', { table: 'rows', table_id: 'tbl-1', split_keys: ['rows'] }, ['rows', 'tbl-1']],
  ["the cluster's factor", { replication_factor: 3, table: null }, []],
  ['a repair', {}, []],
  ['nothing that can be read', 'x', []],
])('%s', (_what, input, resources) => {
  expect(resourcesOf({ input })).toEqual(resources);
});

test('the list shows those about one node, shard or table, and says what each is about', async () => {
  const world = useCaseWorld();
  await registered(world, 1, 2, 3, 4);
  for (const table of ['cities', 'towns']) await world.call('createTable', createTable, { body: { table } });
  await world.call('drainNode', drainNode, { params: { node_id: 'node-2' }, body: {} });
  const about = async (resource: string) => {
    const answer = await world.call('listOperations', listOperations, { query: { resource } });
    if (!answer.ok) throw new Error(answer.error.message);
    return answer.value.operations.map(({ type, resources }) => [type, resources?.[0]]);
  };
  expect(await about('cities')).toEqual([['create-table', 'cities']]);
  expect(await about('node-2')).toEqual([['drain-node', 'node-2']]);
  expect(await about('node-3')).toEqual([]);
  world.close();
});

test('a page looks at so many operations and no more; its cursor goes on with older ones', async () => {
  const world = useCaseWorld();
  await registered(world, 1, 2, 3);
  await world.call('createTable', createTable, { body: { table: 'oldest' } });
  for (let count = 0; count < 25; count++) {
    world.clock.advance(1);
    await world.call('createTable', createTable, { body: { table: `t${count}` } });
  }
  let cursor: string | null = null;
  let found: readonly string[] = [];
  let pages = 0;
  do {
    const query: Parameters<typeof listOperations>[2]['query'] = { resource: 'oldest', limit: 2 };
    const answer: Awaited<ReturnType<typeof listOperations>> = await world.call('listOperations', listOperations, {
      query: cursor === null ? query : { ...query, cursor },
    });
    if (!answer.ok) throw new Error(answer.error.message);
    found = [...found, ...answer.value.operations.map(({ type }) => type)];
    cursor = answer.value.next_cursor;
    pages += 1;
  } while (cursor !== null);
  expect(found).toEqual(['create-table']);
  expect(pages).toBe(2); // ten pages of two, then the rest
  world.close();
});
