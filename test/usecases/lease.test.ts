import { nodeEpoch } from '../../shared/domain/ids.ts';
import { markExpired } from '../../shared/usecases/fence-node.ts';
import { heartbeat, releaseNode } from '../../shared/usecases/heartbeat.ts';
import { createJoinToken, getNode, listNodes, registerNode } from '../../shared/usecases/nodes.ts';
import type { Principal } from '../../shared/ports.ts';
import { nodePrincipal, registered, useCaseWorld } from '../support/use-case-world.ts';
import type { UseCaseWorld } from '../support/use-case-world.ts';

const beat = (
  world: UseCaseWorld,
  over: { sequence?: number; node_epoch?: number; incarnation?: string; attestation?: number; mail_seen?: number } = {},
) =>
  world.call(
    'heartbeat',
    heartbeat,
    {
      params: { node_id: 'node-1' },
      body: { node_epoch: 1, incarnation: 'inc-1', sequence: 1, attestation: 1, ...over },
    },
    nodePrincipal(1, over.node_epoch ?? 1),
  );
const register = (world: UseCaseWorld, body: object, principal?: Principal) =>
  world.call(
    'registerNode',
    registerNode,
    { body: { node_id: 'node-1', host: '127.0.0.1', port: 7001, zone: 'z1', ...body } },
    principal,
  );

describe('a lease from registration to fence (L1, L4)', () => {
  let world: UseCaseWorld;
  beforeEach(async () => {
    world = useCaseWorld();
    await registered(world, 1);
  });
  afterEach(() => world.close());

  test('a heartbeat renews with a higher sequence; the same beat again is answered the same; a lower one is stale', async () => {
    expect(await beat(world, { sequence: 5 })).toMatchObject({ ok: true, value: { sequence: 5, node_epoch: 1 } });
    expect(await beat(world, { sequence: 5 })).toMatchObject({ ok: true, value: { sequence: 5 } });
    expect(await beat(world, { sequence: 4 })).toMatchObject({
      ok: false,
      error: { code: 'SEQUENCE_STALE', detail: { sequence: 5 } },
    });
    expect((await world.liveness(1)).sequence).toBe(5);
  });

  test('another incarnation or node epoch is refused with the way back, and changes nothing', async () => {
    await beat(world, { sequence: 1 });
    const before = await world.liveness(1);
    for (const foreign of [{ incarnation: 'inc-other' }, { node_epoch: 2 }]) {
      const refused = await beat(world, { sequence: 9, ...foreign });
      expect(refused).toMatchObject({ ok: false, error: { kind: 'CONFLICT', code: 'NODE_FENCED' } });
      expect(!refused.ok && refused.error.message).toContain('Register again');
    }
    expect(await world.liveness(1)).toEqual(before);
  });

  test('a live node id from elsewhere is refused; after its lease was observed expired it registers under node epoch 2', async () => {
    await beat(world, { sequence: 3 });
    const elsewhere = { host: '127.0.0.9', incarnation: 'inc-elsewhere', store_uuid: 'store-elsewhere' };
    expect(await register(world, elsewhere)).toMatchObject({
      ok: false,
      error: { code: 'NODE_ALIVE', retryAfterSeconds: 4 },
    });
    await markExpired(world.deps, await world.liveness(1));
    expect(await register(world, elsewhere)).toMatchObject({
      ok: true,
      value: { node_epoch: 2, incarnation: 'inc-elsewhere' },
    });
    // The registration is a fence: rows under the older node epoch must be swept (E3), and the old incarnation is out.
    expect((await world.liveness(1)).openFence).toEqual({ cleanSweeps: 0 });
    expect(await beat(world, { sequence: 4 })).toMatchObject({ ok: false, error: { code: 'NODE_FENCED' } });
  });

  test('an expired but not yet fenced node may renew, and the mark no longer lets anybody in (L1)', async () => {
    await beat(world, { sequence: 3 });
    await markExpired(world.deps, await world.liveness(1));
    expect(await beat(world, { sequence: 4 })).toMatchObject({ ok: true });
    expect(await register(world, { incarnation: 'inc-new' })).toMatchObject({
      ok: false,
      error: { code: 'NODE_ALIVE' },
    });
  });

  test('a renewal between the reading and the commit of a registration wins: the lease is not over (L1, L4)', async () => {
    await beat(world, { sequence: 3 });
    await markExpired(world.deps, await world.liveness(1));
    world.faults.once('transact', { delayBeforeMs: 100 });
    const registration = register(world, { incarnation: 'inc-new' });
    await world.timers.advance(50);
    expect(await beat(world, { sequence: 4 })).toMatchObject({ ok: true });
    await world.timers.advance(100);
    expect(await registration).toMatchObject({ ok: false, error: { code: 'NODE_ALIVE' } });
    expect(await world.liveness(1)).toMatchObject({ nodeEpoch: 1, incarnation: 'inc-1', sequence: 4 });
  });

  test('a mark is made only on the lease that was observed: not on a renewed one, not on a later registration (L4)', async () => {
    await beat(world, { sequence: 3 });
    const observed = await world.liveness(1);
    await beat(world, { sequence: 4 });
    await markExpired(world.deps, observed);
    expect((await world.liveness(1)).expired).toBeNull();
    const present = await world.liveness(1);
    await markExpired(world.deps, { ...present, nodeEpoch: nodeEpoch(present.nodeEpoch + 1) });
    expect((await world.liveness(1)).expired).toBeNull();
  });

  test('a released lease never renews again and lets the next incarnation in at once', async () => {
    await beat(world, { sequence: 1 });
    const release = { params: { node_id: 'node-1' }, body: { node_epoch: 1, incarnation: 'inc-1' } };
    expect((await world.call('releaseNode', releaseNode, release, nodePrincipal(1))).ok).toBe(true);
    expect(await beat(world, { sequence: 2 })).toMatchObject({ ok: false, error: { code: 'NODE_FENCED' } });
    expect(
      await register(world, {
        incarnation: 'inc-1b',
        store_uuid: 'store-1',
        attestation: { node_epoch: 1, counter: 1 },
      }),
    ).toMatchObject({ ok: true, value: { node_epoch: 2 } });
  });

  test("yesterday's directory is refused: it is behind what it attested", async () => {
    await beat(world, { sequence: 1, attestation: 50 });
    await world.call(
      'releaseNode',
      releaseNode,
      { params: { node_id: 'node-1' }, body: { node_epoch: 1, incarnation: 'inc-1' } },
      nodePrincipal(1),
    );
    const yesterday = { incarnation: 'inc-1b', store_uuid: 'store-1', attestation: { node_epoch: 1, counter: 20 } };
    expect(await register(world, yesterday)).toMatchObject({
      ok: false,
      error: { code: 'STORE_ROLLED_BACK', detail: { attested: 50, presented: 20 } },
    });
  });

  test("yesterday's directory is refused even after an empty one took its place (L4, E4)", async () => {
    await beat(world, { sequence: 1, attestation: 50 });
    const release = (epoch: number, incarnation: string) =>
      world.call(
        'releaseNode',
        releaseNode,
        { params: { node_id: 'node-1' }, body: { node_epoch: epoch, incarnation } },
        nodePrincipal(1, epoch, incarnation),
      );
    await release(1, 'inc-1');
    expect((await register(world, { incarnation: 'inc-wiped', store_uuid: 'store-1b' })).ok).toBe(true);
    await release(2, 'inc-wiped');
    const yesterday = { incarnation: 'inc-1c', store_uuid: 'store-1', attestation: { node_epoch: 1, counter: 20 } };
    expect(await register(world, yesterday)).toMatchObject({
      ok: false,
      error: { code: 'STORE_MISMATCH', detail: { store_uuid: 'store-1b' } },
    });
  });

  test('a lost answer of a registration is repeated, not counted twice', async () => {
    expect(await register(world, { incarnation: 'inc-1', store_uuid: 'store-1' })).toMatchObject({
      ok: true,
      value: { node_epoch: 1 },
    });
    expect((await world.liveness(1)).nodeEpoch).toBe(1);
  });

  test('a join token works once', async () => {
    const issued = await world.call('createJoinToken', createJoinToken, { body: {} });
    if (!issued.ok) throw new Error('no token');
    const joiner: Principal = { kind: 'joiner', tokenId: issued.value.token_id };
    expect(await register(world, { node_id: 'node-7' }, joiner)).toMatchObject({ ok: true });
    expect(await register(world, { node_id: 'node-8' }, joiner)).toMatchObject({
      ok: false,
      error: { kind: 'UNAUTHENTICATED', code: 'JOIN_TOKEN_USED' },
    });
    expect(await world.call('getNode', getNode, { params: { node_id: 'node-8' } })).toMatchObject({
      ok: false,
      error: { code: 'NODE_NOT_FOUND' },
    });
  });

  test('a join token gets the credential of a live node by repeating its registration only if it was spent on it', async () => {
    const issued = await world.call('createJoinToken', createJoinToken, { body: {} });
    if (!issued.ok) throw new Error('no token');
    const joiner: Principal = { kind: 'joiner', tokenId: issued.value.token_id };
    const repeat = { incarnation: 'inc-1', store_uuid: 'store-1' };
    expect(await register(world, repeat, joiner)).toMatchObject({ ok: false, error: { code: 'JOIN_TOKEN_USED' } });
    const own = { node_id: 'node-7', incarnation: 'inc-7', store_uuid: 'store-7' };
    expect(await register(world, own, joiner)).toMatchObject({ ok: true, value: { node_epoch: 1 } });
    expect(await register(world, own, joiner)).toMatchObject({ ok: true, value: { node_epoch: 1 } });
    expect(await register(world, repeat, joiner)).toMatchObject({ ok: false, error: { code: 'JOIN_TOKEN_USED' } });
  });

  test('a node key registers its own node only', async () => {
    const key: Principal = { kind: 'nodeKey', nodeId: (await world.liveness(1)).nodeId };
    expect(await register(world, { node_id: 'node-2' }, key)).toMatchObject({
      ok: false,
      error: { code: 'FORBIDDEN' },
    });
  });

  test('every raise of a node epoch has its audit entry, numbered without a gap (I-16)', async () => {
    await beat(world, { sequence: 1 });
    await markExpired(world.deps, await world.liveness(1));
    await register(world, { incarnation: 'inc-1b' });
    const trail = await world.records.query('audit', {
      partition: { entity: 'lease:node-1' },
      order: 'forward',
      limit: 10,
    });
    expect(trail.items.map(({ value }) => [value.number, value.action])).toEqual([
      [1, 'NODE_REGISTERED'],
      [2, 'NODE_REGISTERED'],
    ]);
  });

  test('the list shows nodes by id with their status and replicas', async () => {
    await registered(world, 2, 3);
    await markExpired(world.deps, await world.liveness(2));
    const page = await world.call('listNodes', listNodes, { query: { limit: 2 } });
    expect(page).toMatchObject({
      ok: true,
      value: {
        nodes: [
          { node_id: 'node-1', status: 'HEALTHY', shards: 0 },
          { node_id: 'node-2', status: 'UNHEALTHY' },
        ],
      },
    });
    const rest = await world.call('listNodes', listNodes, {
      query: { cursor: page.ok ? (page.value.next_cursor ?? '') : '' },
    });
    expect(rest).toMatchObject({ ok: true, value: { nodes: [{ node_id: 'node-3' }], next_cursor: null } });
    expect(await world.call('listNodes', listNodes, { query: { cursor: 'nonsense!' } })).toMatchObject({
      ok: false,
      error: { field: 'cursor' },
    });
  });
});
