import { nodeId } from '../../shared/domain/ids.ts';
import { withIfMatch } from '../../shared/runtime/if-match.ts';
import { moveShard } from '../../shared/usecases/move-replica.ts';
import { setNodePlacement } from '../../shared/usecases/node-placement.ts';
import type { Deps } from '../../shared/ports.ts';
import { ADMIN, registered, useCaseWorld } from '../support/use-case-world.ts';
import { waveStory } from '../support/wave-story.ts';
import { apiWorld } from './world.ts';
import type { ApiWorld } from './world.ts';

/** `ETag` and `If-Match`: a change is made only of what the caller saw. */

describe('through the front door', () => {
  let world: ApiWorld;
  beforeAll(async () => {
    world = await apiWorld();
    await world.register({ id: 'node-101', port: 7101, zone: 'a' });
  });
  afterAll(() => world.close());

  const put = (path: string, body: unknown, headers: Record<string, string>) =>
    world.call('PUT', path, { body, headers });
  const etag = async (path: string): Promise<string> => {
    const { status, headers } = await world.call('GET', path);
    expect(status).toBe(200);
    expect(headers['etag']).toMatch(/^"\d+"$/);
    return headers['etag'] ?? '';
  };
  const PLACEMENT = '/cluster/nodes/node-101/placement';

  test('a node: what was seen is changed, what has changed since is not', async () => {
    const seen = await etag('/cluster/nodes/node-101');
    expect((await put(PLACEMENT, { labels: { disk: 'ssd' } }, { 'If-Match': seen })).status).toBe(200);
    const before = world.commits();
    const refused = await put(PLACEMENT, { labels: { disk: 'hdd' } }, { 'If-Match': seen });
    expect(refused).toMatchObject({
      status: 412,
      body: { code: 'REVISION_MISMATCH', expected: Number(seen.slice(1, -1)) },
    });
    expect(world.commits()).toBe(before);
    expect((await world.call('GET', '/cluster/nodes/node-101')).body['labels']).toEqual({ disk: 'ssd' });
    const again = await etag('/cluster/nodes/node-101');
    expect((await put(PLACEMENT, { labels: { disk: 'hdd' } }, { 'If-Match': again })).status).toBe(200);
  });

  test('a configuration key that was never set is at "0"', async () => {
    expect(await etag('/config/rebalance')).toBe('"0"');
    const body = { moves_per_hour: 50 };
    expect((await put('/config/rebalance', body, { 'If-Match': '"3"' })).status).toBe(412);
    expect((await put('/config/rebalance', body, { 'If-Match': '"0"' })).status).toBe(200);
    expect((await put('/config/rebalance', body, { 'If-Match': '"0"' })).status).toBe(412);
    expect((await put('/config/rebalance', body, { 'If-Match': await etag('/config/rebalance') })).status).toBe(200);
  });

  test('repeated under its key it gets the answer of the first time, though the revision has moved on', async () => {
    const headers = { 'If-Match': await etag('/cluster/nodes/node-101'), 'Idempotency-Key': 'once' };
    const first = await put(PLACEMENT, { labels: { rack: 'r1' } }, headers);
    expect(first.status).toBe(200);
    expect(await put(PLACEMENT, { labels: { rack: 'r1' } }, headers)).toMatchObject({ status: 200, body: first.body });
    const other = { ...headers, 'If-Match': '"1"' };
    expect(await put(PLACEMENT, { labels: { rack: 'r1' } }, other)).toMatchObject({
      status: 409,
      body: { code: 'IDEMPOTENCY_KEY_REUSED' },
    });
  });

  test.each([
    ['no quotes', '7'],
    ['any', '*'],
    ['weak', 'W/"7"'],
    ['two', '"7", "8"'],
    ['no number', '"x"'],
    ['a huge one', '"99999999999999999999"'],
  ])('refused as malformed: %s', async (_what, value) => {
    const answer = await put(PLACEMENT, { labels: {} }, { 'If-Match': value });
    expect(answer).toMatchObject({ status: 400, body: { code: 'INVALID_REQUEST', field: 'If-Match' } });
  });

  test('a call that changes no single resource takes none; a resource that is not there is not found', async () => {
    const created = await world.call('POST', '/tables', { body: { table: 'x' }, headers: { 'If-Match': '"1"' } });
    expect(created).toMatchObject({ status: 400, body: { field: 'If-Match' } });
    const gone = await world.call('POST', '/cluster/nodes/node-999/cordon', { headers: { 'If-Match': '"1"' } });
    expect(gone).toMatchObject({ status: 404, body: { code: 'NODE_NOT_FOUND' } });
  });

  test('the description of the API tells of both', async () => {
    const { body } = await world.call('GET', '/openapi.json', { token: null });
    type Operation = { parameters: { name: string }[]; responses: Record<string, { headers?: object }> };
    const paths = body['paths'] as Record<string, Record<string, Operation>>;
    const move = paths['/shards/{shard_id}/move']!['post']!;
    expect(move.parameters.map(({ name }) => name)).toContain('If-Match');
    expect(move.responses).toHaveProperty('412');
    expect(paths['/shards/{shard_id}']!['get']!.responses['200']!.headers).toHaveProperty('ETag');
    expect(paths['/tables']!['post']!.parameters.map(({ name }) => name)).not.toContain('If-Match');
  });
});

const done = { status: 200, headers: {}, body: {} };
const place = async (deps: Deps, disk: string) => {
  const input = { params: { node_id: 'node-1' }, query: {}, body: { labels: { disk } } };
  const answer = await setNodePlacement(deps, ADMIN, input);
  return answer.ok ? done : { status: 409, headers: {}, body: { code: answer.error.code } };
};

test('somebody who comes between the look and the commit is not overwritten', async () => {
  const world = useCaseWorld();
  await registered(world, 1);
  const node = async () => (await world.records.get('node', { nodeId: nodeId('node-1') }))!;
  const { revision } = await node();
  const subject = { of: 'node', name: 'node node-1', id: 'node-1' } as const;
  const answer = await withIfMatch(world.deps, { subject, expected: revision, requestId: 'r' }, async (deps) => {
    expect(await place(world.deps, 'of somebody else')).toEqual(done);
    return place(deps, 'mine');
  });
  expect(answer).toMatchObject({ status: 412, body: { code: 'REVISION_MISMATCH' } });
  expect((await node()).value.placement?.labels).toEqual({ disk: 'of somebody else' });
  world.close();
});

test("a shard's revision is its generation, and its operation starts in the same commit", () =>
  waveStory(
    async (told) => {
      const [shard] = await told.shards();
      const target = [1, 2, 3, 4, 5]
        .map((n) => `node-${n}`)
        .find((id) => !shard!.replicas.some((r) => r.nodeId === id));
      const subject = { of: 'shard', name: `shard ${shard!.shardId}`, id: shard!.shardId } as const;
      const move = (expected: number) =>
        withIfMatch(told.world.deps, { subject, expected, requestId: 'r' }, async (deps) => {
          const answer = await moveShard(deps, ADMIN, {
            params: { shard_id: shard!.shardId },
            query: {},
            body: { target_node_id: target! },
          });
          return answer.ok ? { ...done, body: answer.value } : { status: 409, headers: {}, body: answer.error };
        });
      expect(await move(shard!.generation + 1)).toMatchObject({ status: 412 });
      expect(await told.newest('move-replica')).toBeNull();
      expect(await move(shard!.generation)).toMatchObject({ status: 200 });
      const started = await told.newest('move-replica');
      expect(await told.ended(started!.operationId)).toMatchObject({ status: 'SUCCEEDED' });
    },
    { shards: 2 },
  ));
