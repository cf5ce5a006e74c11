import { nodeEpoch, nodeId, packId } from '../../shared/domain/ids.ts';
import type { LivenessRecord } from '../../shared/domain/lease.ts';
import { PACK_MAPS, PACK_MEMBERS_MAX } from '../../shared/domain/liveness-pack.ts';
import { ITEM_BYTES_MAX, itemBytes } from '../../shared/store/limits.ts';
import { entities, recordKey } from '../../shared/store/entities.ts';
import { createCommandMailbox } from '../../shared/adapters/command-mailbox.ts';
import type { Deps, Principal } from '../../shared/ports.ts';
import { fenceNode, markExpired } from '../../shared/usecases/fence-node.ts';
import { heartbeat, releaseNode } from '../../shared/usecases/heartbeat.ts';
import { heartbeats } from '../../shared/usecases/heartbeats.ts';
import { registerNode } from '../../shared/usecases/nodes.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { nodePrincipal, registrationOf, useCaseWorld } from '../support/use-case-world.ts';
import type { UseCaseWorld } from '../support/use-case-world.ts';

const BY = SYSTEM('detector');
const RELAY = nodePrincipal(9);
/** A credential of the test: who it is for. */
const credentialOf = (node: number, epoch = 1, incarnation = `inc-${node}`): string =>
  JSON.stringify({ node, epoch, incarnation });

interface BeatParts {
  readonly node: number;
  readonly sequence: number;
  readonly epoch?: number;
  readonly incarnation?: string;
  readonly pack?: string | null;
  readonly credential?: string;
  readonly mailSeen?: number;
}

describe('a packed lease (L1)', () => {
  let world: UseCaseWorld;
  let deps: Deps;
  beforeEach(() => {
    world = useCaseWorld();
    deps = {
      ...world.deps,
      tokens: {
        ...world.deps.tokens,
        verify: async (token) => {
          if (!token.startsWith('{')) return { ok: false, error: { code: 'TOKEN_INVALID', message: 'no token' } };
          const { node, epoch, incarnation } = JSON.parse(token) as {
            node: number;
            epoch: number;
            incarnation: string;
          };
          return { ok: true, value: nodePrincipal(node, epoch, incarnation) as Extract<Principal, { kind: 'node' }> };
        },
      },
    };
  });
  afterEach(() => world.close());

  const register = async (node: number, over: object = { relay: 'relay-1' }) =>
    world.call('registerNode', registerNode, {
      body: { ...registrationOf(node), zone: 'z1', ...over },
    });
  const given = async (...nodes: number[]): Promise<void> => {
    for (const node of nodes)
      expect(await register(node)).toMatchObject({ ok: true, value: { lease_pack: 'relay-1' } });
  };
  const bodyOf = ({ node, sequence, epoch = 1, incarnation = `inc-${node}`, mailSeen }: BeatParts) => ({
    node_epoch: epoch,
    incarnation,
    sequence,
    attestation: sequence * 10,
    ...(mailSeen === undefined ? {} : { mail_seen: mailSeen }),
  });
  const relayed = async (...parts: BeatParts[]) => {
    const answer = await heartbeats(deps, RELAY, {
      params: {},
      query: {},
      body: {
        beats: parts.map((part) => ({
          node_id: `node-${part.node}`,
          credential: part.credential ?? credentialOf(part.node, part.epoch, part.incarnation),
          lease_pack: part.pack === undefined ? 'relay-1' : part.pack,
          beat: bodyOf(part),
        })),
      },
    });
    if (!answer.ok) throw new Error(answer.error.message);
    return answer.value;
  };
  const outcomes = async (...parts: BeatParts[]): Promise<string[]> =>
    (await relayed(...parts)).results.map((result) =>
      result.outcome === 'RENEWED' ? `${result.answer.sequence}` : result.code,
    );
  const direct = (part: BeatParts) =>
    world.call(
      'heartbeat',
      heartbeat,
      { params: { node_id: `node-${part.node}` }, body: bodyOf(part) },
      nodePrincipal(part.node, part.epoch),
    );
  const pack = async () => {
    const stored = await world.records.get('livenessPack', { packId: packId('relay-1') });
    if (stored === null) throw new Error('no pack');
    return stored;
  };
  const lease = (node: number): Promise<LivenessRecord> => world.liveness(node);

  test('a registration that names a relay puts the lease into one slot of the pack; the own item holds none', async () => {
    await given(1, 2);
    expect(await lease(2)).toMatchObject({ nodeEpoch: 1, incarnation: 'inc-2', sequence: 0, released: false });
    const own = await world.records.get('liveness', { nodeId: nodeId('node-2') });
    expect(own?.value).toMatchObject({ incarnation: null, pack: { packId: 'relay-1', slot: '1' } });
    expect((await pack()).value.members).toEqual({ 0: 'node-1', 1: 'node-2' });
  });

  test('one beat of all members is one read and one write of one item, and comes back signed', async () => {
    await given(1, 2, 3);
    const before = (await pack()).revision;
    const answer = await relayed({ node: 1, sequence: 1 }, { node: 2, sequence: 1 }, { node: 3, sequence: 4 });
    expect(answer.results.map(({ outcome }) => outcome)).toEqual(['RENEWED', 'RENEWED', 'RENEWED']);
    expect(answer.receipt).toMatchObject({
      signature: 'signature',
      renewals: {
        document: 'lease-renewals',
        renewed: [1, 1, 4].map((sequence, i) => ({
          node_id: `node-${i + 1}`,
          node_epoch: 1,
          incarnation: `inc-${i + 1}`,
          sequence,
        })),
      },
    });
    expect((await pack()).revision).toBe(before + 1);
    expect(await lease(3)).toMatchObject({ sequence: 4, attestation: 40 });
  });

  test('a full pack costs about ten write units a beat, and is far from the limit of an item', async () => {
    for (let node = 1; node <= PACK_MEMBERS_MAX; node++)
      expect(await register(node, { relay: 'relay-1', incarnation: `inc-${'x'.repeat(24)}` })).toMatchObject({
        ok: true,
      });
    expect(await register(101)).toMatchObject({ ok: false, error: { code: 'PACK_FULL', detail: { members: 100 } } });
    expect(await register(101, {})).toMatchObject({ ok: true, value: { lease_pack: null } });
    const { value } = await pack();
    const bytes = itemBytes(
      recordKey('livenessPack', { packId: packId('relay-1') }),
      entities.livenessPack.codec.encode(value),
    );
    expect(bytes).toBeLessThan(10 * 1024);
    expect(bytes * 8).toBeLessThan(ITEM_BYTES_MAX);
  });

  test('the same beat again is renewed already; a lower one, another incarnation, another epoch are not', async () => {
    await given(1);
    expect(await outcomes({ node: 1, sequence: 5 })).toEqual(['5']);
    const before = await pack();
    expect(await outcomes({ node: 1, sequence: 5 })).toEqual(['5']);
    expect(await outcomes({ node: 1, sequence: 4 })).toEqual(['SEQUENCE_STALE']);
    expect(await outcomes({ node: 1, sequence: 9, incarnation: 'inc-other' })).toEqual(['NODE_FENCED']);
    expect(await outcomes({ node: 1, sequence: 9, epoch: 2 })).toEqual(['NODE_FENCED']);
    expect(await pack()).toEqual(before);
  });

  test("a relay can't speak for a node: each beat needs its own node's credential (I-8)", async () => {
    await given(1, 2);
    expect(
      await outcomes(
        { node: 1, sequence: 1, credential: credentialOf(2) },
        { node: 2, sequence: 1 },
        { node: 1, sequence: 2, credential: 'forged' },
      ),
    ).toEqual(['FORBIDDEN', '1', 'UNAUTHENTICATED']);
    expect((await lease(1)).sequence).toBe(0);
  });

  test('a fenced member is left out, the others renew in the same message', async () => {
    await given(1, 2);
    expect(await fenceNode(deps, BY, await lease(1))).not.toBeNull();
    expect(await outcomes({ node: 1, sequence: 1 }, { node: 2, sequence: 1 })).toEqual(['NODE_FENCED', '1']);
    expect(await lease(1)).toMatchObject({ nodeEpoch: 2, incarnation: null, pack: null });
  });

  test('a fence between the read and the put of a beat wins: the fenced one is refused, the rest is retried at once', async () => {
    await given(1, 2);
    const observed = await lease(1);
    world.faults.once('write', { delayBeforeMs: 100 });
    const beating = outcomes({ node: 1, sequence: 1 }, { node: 2, sequence: 1 });
    await world.timers.advance(50);
    expect(await fenceNode(deps, BY, observed)).not.toBeNull();
    await world.timers.advance(100);
    expect(await beating).toEqual(['NODE_FENCED', '1']);
    expect(await lease(1)).toMatchObject({ nodeEpoch: 2, incarnation: null, sequence: 0 });
  });

  test('a beat between the observation and the fence wins, relayed or direct', async () => {
    await given(1, 2);
    const observed = [await lease(1), await lease(2)] as const;
    expect(await outcomes({ node: 1, sequence: 1 })).toEqual(['1']);
    expect(await direct({ node: 2, sequence: 1 })).toMatchObject({ ok: true, value: { sequence: 1 } });
    for (const before of observed) expect(await fenceNode(deps, BY, before)).toBeNull();
    expect((await pack()).value.nodeEpochs).toEqual({ 0: 1, 1: 1 });
  });

  test('a direct beat between the read and the put of a relayed one is not undone', async () => {
    await given(1, 2);
    world.faults.once('write', { delayBeforeMs: 100 });
    const beating = outcomes({ node: 1, sequence: 1 }, { node: 2, sequence: 1 });
    await world.timers.advance(50);
    expect(await direct({ node: 2, sequence: 2 })).toMatchObject({ ok: true });
    await world.timers.advance(100);
    expect(await beating).toEqual(['1', 'SEQUENCE_STALE']);
    expect((await lease(2)).sequence).toBe(2);
  });

  test('two relays with the same member: one pack, and no beat of either is lost', async () => {
    await given(1, 2);
    world.faults.once('write', { delayBeforeMs: 100 });
    const first = outcomes({ node: 1, sequence: 1 });
    await world.timers.advance(50);
    expect(await outcomes({ node: 1, sequence: 2 }, { node: 2, sequence: 1 })).toEqual(['2', '1']);
    await world.timers.advance(100);
    expect(await first).toEqual(['SEQUENCE_STALE']);
    expect([(await lease(1)).sequence, (await lease(2)).sequence]).toEqual([2, 1]);
  });

  test('a relayed beat whose answer was lost is repeated directly, and counts once', async () => {
    await given(1);
    world.faults.once('write', { loseAnswer: 'UNAVAILABLE' });
    expect(await outcomes({ node: 1, sequence: 1 })).toEqual(['STORE_UNAVAILABLE']);
    expect(await direct({ node: 1, sequence: 1 })).toMatchObject({ ok: true, value: { sequence: 1 } });
  });

  test('a beat without its pack, or with a wrong one, finds its lease', async () => {
    await given(1);
    await register(2, {});
    expect(await outcomes({ node: 1, sequence: 1, pack: null }, { node: 2, sequence: 1, pack: 'relay-1' })).toEqual([
      '1',
      '1',
    ]);
    expect(await outcomes({ node: 1, sequence: 2, pack: 'relay-none' })).toEqual(['2']);
    expect((await lease(1)).sequence).toBe(2);
  });

  test('a direct beat of a fenced or released member is refused', async () => {
    await given(1, 2);
    await fenceNode(deps, BY, await lease(1));
    expect(await direct({ node: 1, sequence: 1 })).toMatchObject({ ok: false, error: { code: 'NODE_FENCED' } });
    const release = { params: { node_id: 'node-2' }, body: { node_epoch: 1, incarnation: 'inc-2' } };
    expect(await world.call('releaseNode', releaseNode, release, nodePrincipal(2))).toMatchObject({ ok: true });
    expect(await lease(2)).toMatchObject({ released: true, incarnation: 'inc-2' });
    expect(await direct({ node: 2, sequence: 1 })).toMatchObject({ ok: false, error: { code: 'NODE_FENCED' } });
    expect(await outcomes({ node: 2, sequence: 1 })).toEqual(['NODE_FENCED']);
  });

  test('a live member is not registered over; a released one moves out of the pack, or into another, and its slot is never used again', async () => {
    await given(1, 2);
    const again = { incarnation: 'inc-1b', attestation: { node_epoch: 1, counter: 10 } };
    expect(await register(1, again)).toMatchObject({ ok: false, error: { code: 'NODE_ALIVE' } });
    const release = async (incarnation: string, epoch: number) =>
      world.call(
        'releaseNode',
        releaseNode,
        { params: { node_id: 'node-1' }, body: { node_epoch: epoch, incarnation } },
        nodePrincipal(1, epoch, incarnation),
      );
    await release('inc-1', 1);
    // Packed to direct.
    expect(await register(1, again)).toMatchObject({ ok: true, value: { node_epoch: 2, lease_pack: null } });
    expect(await lease(1)).toMatchObject({ pack: null, incarnation: 'inc-1b', openFence: { cleanSweeps: 0 } });
    const left = (await pack()).value;
    for (const field of PACK_MAPS) expect(Object.keys(left[field])).not.toContain('0');
    expect(await outcomes({ node: 1, sequence: 1 })).toEqual(['NODE_FENCED']);
    expect(await outcomes({ node: 1, sequence: 1, epoch: 2, incarnation: 'inc-1b' })).toEqual(['1']);
    // Direct to packed, then within the pack.
    await release('inc-1b', 2);
    for (const [incarnation, epoch, slot] of [
      ['inc-1c', 3, '2'],
      ['inc-1d', 4, '3'],
    ] as const) {
      const body = { relay: 'relay-1', incarnation, attestation: { node_epoch: epoch - 1, counter: 10 } };
      expect(await register(1, body)).toMatchObject({ ok: true, value: { node_epoch: epoch, lease_pack: 'relay-1' } });
      expect((await lease(1)).pack).toEqual({ packId: 'relay-1', slot });
      expect((await pack()).value.members).toEqual({ 1: 'node-2', [slot]: 'node-1' });
      await release(incarnation, epoch);
    }
    // To another pack.
    const other = { relay: 'relay-2', incarnation: 'inc-1e', attestation: { node_epoch: 4, counter: 10 } };
    expect(await register(1, other)).toMatchObject({ ok: true, value: { node_epoch: 5, lease_pack: 'relay-2' } });
    expect((await pack()).value.members).toEqual({ 1: 'node-2' });
  });

  test('a renewal between the reading and the commit of a registration wins (L1, L4)', async () => {
    await given(1);
    await markExpired(deps, await lease(1));
    expect((await lease(1)).expired).toEqual({ nodeEpoch: 1, sequence: 0 });
    world.faults.once('transact', { delayBeforeMs: 100 });
    const registration = register(1, { incarnation: 'inc-new', store_uuid: 'store-new' });
    await world.timers.advance(50);
    expect(await direct({ node: 1, sequence: 1 })).toMatchObject({ ok: true });
    await world.timers.advance(100);
    expect(await registration).toMatchObject({ ok: false, error: { code: 'NODE_ALIVE' } });
    expect(await lease(1)).toMatchObject({ nodeEpoch: 1, incarnation: 'inc-1', sequence: 1 });
  });

  test('a mark is made only on the lease that was observed, and lets the next incarnation in (L4)', async () => {
    await given(1);
    const observed = await lease(1);
    await direct({ node: 1, sequence: 1 });
    await markExpired(deps, observed);
    await markExpired(deps, { ...(await lease(1)), nodeEpoch: nodeEpoch(2) });
    expect((await lease(1)).expired).toBeNull();
    await markExpired(deps, await lease(1));
    expect(await register(1, { incarnation: 'inc-1b', store_uuid: 'store-new' })).toMatchObject({
      ok: true,
      value: { node_epoch: 2 },
    });
  });

  test('a directory that is behind what its packed lease attested is refused, fenced or not (L4)', async () => {
    await given(1);
    await outcomes({ node: 1, sequence: 5 });
    await fenceNode(deps, BY, await lease(1));
    const yesterday = { incarnation: 'inc-1b', attestation: { node_epoch: 1, counter: 20 } };
    expect(await register(1, yesterday)).toMatchObject({
      ok: false,
      error: { code: 'STORE_ROLLED_BACK', detail: { attested: 50, presented: 20 } },
    });
  });

  test('commands that were announced are fetched by the next beat, also across a fence', async () => {
    await given(1, 2);
    const mailbox = createCommandMailbox({ records: world.records, clock: deps.clock, log: deps.log });
    const fetched: string[] = [];
    deps = { ...deps, commands: { ...deps.commands, pending: async (id) => (fetched.push(id), []) } };
    await relayed({ node: 1, sequence: 1 }, { node: 2, sequence: 1 });
    expect(fetched).toEqual([]);
    await mailbox.notify([nodeId('node-2')]);
    const answer = await relayed({ node: 1, sequence: 2 }, { node: 2, sequence: 2 });
    expect(fetched).toEqual(['node-2']);
    const mail = answer.results[1]?.outcome === 'RENEWED' ? answer.results[1].answer.mail : -1;
    await relayed({ node: 2, sequence: 3, mailSeen: mail });
    expect(fetched).toEqual(['node-2']);
    const observed = await lease(2);
    await mailbox.notify([nodeId('node-2')]); // after the detector's reading: the fence does not know of it
    await fenceNode(deps, BY, observed);
    await register(2, { incarnation: 'inc-2b', attestation: { node_epoch: 1, counter: 30 } });
    await relayed({ node: 2, sequence: 1, epoch: 3, incarnation: 'inc-2b' });
    expect(fetched).toEqual(['node-2', 'node-2']);
  });

  test("a detector's reading is a fixed number of queries, however many nodes a pack has", async () => {
    const queries = async (): Promise<number> => {
      let calls = 0;
      world.faults.use(() => {
        calls++;
        return null;
      });
      await deps.liveness.all();
      world.faults.none();
      return calls;
    };
    const empty = await queries();
    for (let node = 1; node <= PACK_MEMBERS_MAX; node++) await register(node);
    // All packs that the nodes' items name, up to a hundred, in one batch.
    expect(await queries()).toBe(empty + 1);
    expect(await deps.liveness.all()).toHaveLength(PACK_MEMBERS_MAX);
  });

  test('every lease is seen by the one reader: packed, direct, fenced', async () => {
    await given(1, 2);
    await register(3, {});
    await fenceNode(deps, BY, await lease(2));
    const all = await deps.liveness.all();
    expect(all.map(({ nodeId: id, incarnation }) => [id, incarnation]).toSorted()).toEqual([
      ['node-1', 'inc-1'],
      ['node-2', null],
      ['node-3', 'inc-3'],
    ]);
    expect(all.find(({ nodeId: id }) => id === 'node-1')).toEqual(await lease(1));
  });

  test('audit entries of a packed node have no gap (I-16)', async () => {
    await given(1);
    await fenceNode(deps, BY, await lease(1));
    await register(1, { incarnation: 'inc-1b', attestation: { node_epoch: 1, counter: 0 }, relay: 'relay-1' });
    const trail = await world.records.query('audit', {
      partition: { entity: 'lease:node-1' },
      order: 'forward',
      limit: 10,
    });
    expect(trail.items.map(({ value }) => [value.number, value.action])).toEqual([
      [1, 'NODE_REGISTERED'],
      [2, 'NODE_FENCED'],
      [3, 'NODE_REGISTERED'],
    ]);
  });
});
