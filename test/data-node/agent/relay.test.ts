import { sign } from 'node:crypto';
import canonicalize from 'canonicalize';
import { Agent } from '../../../data-node/agent/agent.ts';
import { openDataDirectory } from '../../../data-node/agent/data-directory.ts';
import type { ControlPlaneAnswer } from '../../../data-node/agent/ports.ts';
import { RETURN_AFTER_MS } from '../../../data-node/agent/relay-route.ts';
import type { PeerNetwork } from '../../../data-node/ports.ts';
import { handle } from '../../../data-node/server/dispatch.ts';
import { RELAYED_BEATS_MAX } from '../../../shared/contracts/node/relay.ts';
import type { HeartbeatsRequest } from '../../../shared/contracts/node/relay.ts';
import type { Json } from '../../../shared/domain/records.ts';
import { err, ok } from '../../../shared/domain/result.ts';
import { seededRandom } from '../../simulation/random.ts';
import { VirtualTime } from '../../simulation/virtual-time.ts';
import { memoryKeys, memoryMeta, recordingHost, testAuthority } from './support.ts';

/** Agents behind a relay, and a scripted control plane, under virtual time. Lease profile `fast`: 1 s, 3 s, bound 500 ms. */
const RELAY = 'node-100';
const LATENCY_MS = 5;
const LEASE_LESS_BOUND_MS = 2_500;
const HONEST = 'signed as it should be';

interface Heard {
  readonly path: string;
  readonly from: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly atMs: number;
}
type Answer = ControlPlaneAnswer | 'LOST';

class RelayWorld {
  readonly time = new VirtualTime();
  readonly heard: Heard[] = [];
  readonly agents = new Map<string, Agent>();
  /** What the control plane says instead of its usual answer. */
  script: (heard: Heard) => Answer | null = () => null;
  /** What a node's call to the relay meets instead of the relay. */
  onTheWay: (body: Json) => { status: number; body: Json } | 'LOST' | null = () => null;
  readonly authority = testAuthority();
  private readonly commandKey = this.authority.certifiedKey({ purpose: 'command' });
  private readonly epochs = new Map<string, number>();

  start(nodeId: string): Agent {
    const process = this.time.processEnvironment({ name: nodeId });
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    const environment = { clock: process.clock, timers: process.timers, random: seededRandom(nodeId), log };
    const directory = openDataDirectory({
      nodeId,
      meta: memoryMeta(),
      keys: memoryKeys(),
      random: environment.random,
    });
    if (!directory.ok) throw new Error(directory.error.message);
    const peers: PeerNetwork = {
      call: async (_address, path, body, { timeoutMs }) => {
        await environment.timers.sleep(LATENCY_MS);
        const met = this.onTheWay(body);
        if (met === 'LOST') {
          await environment.timers.sleep(timeoutMs - LATENCY_MS);
          return err({ code: 'UNREACHABLE', message: 'lost' });
        }
        if (met !== null) return ok(met);
        const relay = this.agents.get(RELAY);
        if (relay === undefined) return err({ code: 'UNREACHABLE', message: 'no relay' });
        const host = recordingHost().host;
        const deps = { agent: relay, host, log, nodeId: RELAY, version: '0' };
        const headers = { authorization: `Bearer ${agent.credential() ?? ''}` };
        return ok(await handle(deps, { method: 'POST', path, headers, body: JSON.parse(JSON.stringify(body)) }));
      },
    };
    const agent: Agent = new Agent({
      environment,
      controlPlane: {
        call: async ({ path, body, timeoutMs }) => {
          const heard = { path, from: nodeId, body: (body ?? {}) as Record<string, unknown>, atMs: this.time.nowMs() };
          this.heard.push(heard);
          const given = this.script(heard) ?? this.usual(heard);
          await environment.timers.sleep(given === 'LOST' ? timeoutMs : LATENCY_MS);
          return given === 'LOST' ? err({ code: 'UNREACHABLE', message: 'lost' }) : ok(given);
        },
      },
      directory: directory.value,
      address: { nodeId, host: '127.0.0.1', port: 7001, zone: 'a', version: '0' },
      joinToken: 'join-token',
      relaying: { forOthers: nodeId === RELAY, through: nodeId === RELAY ? null : { nodeId: RELAY, peers } },
    });
    agent.attach(recordingHost().host);
    this.agents.set(nodeId, agent);
    void agent.run();
    return agent;
  }

  of(call: string, from?: string): Heard[] {
    return this.heard.filter(({ path, from: by }) => path.endsWith(call) && (from === undefined || from === by));
  }

  batches(): string[][] {
    return this.of('/cluster/heartbeats').map(({ body }) =>
      (body as unknown as HeartbeatsRequest).beats.map(({ node_id }) => node_id).toSorted(),
    );
  }

  receipt(renewed: readonly object[], by = this.commandKey) {
    const renewals = { document: 'lease-renewals', renewed };
    const data = Buffer.from(canonicalize(renewals) ?? '');
    const signature = sign('sha256', data, { key: by.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url');
    return { renewals, signature, certificate: by.certificate };
  }

  private usual({ path, from, body }: Heard): ControlPlaneAnswer {
    if (path.endsWith('/register')) return this.registered(from, body);
    if (path.endsWith('/cluster/heartbeats')) {
      const { beats } = body as unknown as HeartbeatsRequest;
      return answer(200, {
        results: beats.map(({ beat }) => ({ outcome: 'RENEWED', answer: renewed(beat) })),
        receipt: this.receipt(
          beats.map(({ node_id, beat: { node_epoch, incarnation, sequence } }) => ({
            node_id,
            node_epoch,
            incarnation,
            sequence,
          })),
        ),
      });
    }
    if (path.endsWith('/heartbeat')) return answer(200, renewed(body));
    return answer(200, { host: '127.0.0.1', port: 7000 });
  }

  private registered(nodeId: string, body: Readonly<Record<string, unknown>>): ControlPlaneAnswer {
    const epoch = (this.epochs.get(nodeId) ?? 0) + 1;
    this.epochs.set(nodeId, epoch);
    const claims = { kind: 'node', sub: nodeId, node_epoch: epoch, incarnation: body['incarnation'] };
    return answer(200, {
      status: 'success',
      message: 'Node registered',
      node_id: nodeId,
      node_epoch: epoch,
      incarnation: body['incarnation'],
      store_uuid: body['store_uuid'],
      lease_pack: body['relay'] ?? null,
      credential: nodeToken(this.authority, claims),
      settings: {
        lease_profile: 'fast',
        lease_ms: 3_000,
        renew_ms: 1_000,
        drift_bound_ms: 500,
        public_keys: this.authority.jwks,
      },
    });
  }
}

/** A node's credential: signed by a key that was certified for node credentials. */
function nodeToken(authority: ReturnType<typeof testAuthority>, claims: Readonly<Record<string, unknown>>): string {
  return authority.token({ ...claims, iat: 0, exp: 4_000_000_000 });
}

const answer = (status: number, body: unknown): ControlPlaneAnswer => ({ status, body, retryAfterSeconds: null });
const refusal = (status: number, code: string): ControlPlaneAnswer =>
  answer(status, { type: 'about:blank', title: code, status, code, detail: code });
const renewed = (beat: Readonly<Record<string, unknown>>) => ({
  status: 'success',
  sequence: beat['sequence'],
  node_epoch: beat['node_epoch'],
  mail: 0,
  commands: [],
  credential: null,
});

describe('heartbeats through a relay (L3)', () => {
  let world: RelayWorld;
  beforeEach(async () => {
    world = new RelayWorld();
    world.start(RELAY);
    await world.time.run(100);
  });
  const started = async (nodeId: string, ms = 100): Promise<Agent> => {
    const agent = world.start(nodeId);
    await world.time.run(world.time.nowMs() + ms);
    return agent;
  };
  const pass = (ms: number): Promise<boolean> => world.time.run(world.time.nowMs() + ms);

  test('the beats of nodes that started at different moments come to go as one request a period', async () => {
    const members = [await started('node-101', 310), await started('node-102', 370), await started('node-103', 1)];
    await pass(3_000);
    const before = world.batches().length;
    await pass(5_000);
    expect(world.batches().slice(before)).toEqual(Array(5).fill(['node-101', 'node-102', 'node-103']));
    for (const nodeId of ['node-101', 'node-102', 'node-103']) expect(world.of('/heartbeat', nodeId)).toEqual([]);
    for (const member of members) expect(member.lease.held()).toBe(true);
  });

  test('after one missed beat the same beat goes directly, then all beats do, and after a while the relay is tried again', async () => {
    const member = await started('node-101', 2_500);
    const lostAtMs = world.time.nowMs();
    world.onTheWay = () => 'LOST';
    for (let i = 0; i < 40; i++) {
      await pass(100);
      expect(member.lease.held()).toBe(true);
    }
    const [first] = world.of('/heartbeat', 'node-101');
    expect(first!.atMs - lostAtMs).toBeLessThanOrEqual(1_500);
    const relayed = world.of('/cluster/heartbeats').flatMap(({ body }) => (body as unknown as HeartbeatsRequest).beats);
    expect(first!.body['sequence']).toBe(relayed.at(-1)!.beat.sequence + 1);
    world.onTheWay = () => null;
    const before = world.batches().length;
    await pass(RETURN_AFTER_MS - 10_000);
    expect(world.batches().length).toBe(before);
    const direct = world.of('/heartbeat', 'node-101').length;
    await pass(15_000);
    expect(world.batches().length).toBeGreaterThan(before);
    const after = world.of('/heartbeat', 'node-101').length;
    await pass(5_000);
    expect(after).toBeGreaterThan(direct);
    expect(world.of('/heartbeat', 'node-101').length).toBe(after);
    expect(member.lease.held()).toBe(true);
  });

  test('the lease counts from the first send of the sequence, through the relay, not from its direct repetition', async () => {
    const member = await started('node-101', 2_500);
    let firstSendMs: number | null = null;
    world.onTheWay = () => {
      firstSendMs ??= world.time.nowMs() - LATENCY_MS;
      return 'LOST';
    };
    // The one direct repetition is answered; from then on the control plane is silent.
    world.script = ({ path, from }) =>
      path.endsWith('/heartbeat') && from === 'node-101' && world.of('/heartbeat', 'node-101').length > 1
        ? 'LOST'
        : null;
    await world.time.run(() => world.of('/heartbeat', 'node-101').length >= 1);
    await pass(50);
    expect(firstSendMs).not.toBeNull();
    await world.time.run(firstSendMs! + LEASE_LESS_BOUND_MS - 2);
    expect(member.lease.held()).toBe(true);
    await world.time.run(firstSendMs! + LEASE_LESS_BOUND_MS + 1);
    expect(member.lease.held()).toBe(false);
  });

  test.each<[string, (beat: Record<string, unknown>) => Json]>([
    // The control: the same answer with the control plane's own signature.
    [HONEST, (beat) => world.receipt([own(beat)]) as Json],
    ['without a signature', () => null],
    [
      'signed by another key',
      (beat) => world.receipt([own(beat)], testAuthority().certifiedKey({ purpose: 'command' })) as Json,
    ],
    [
      'signed by a key for another purpose',
      (beat) => world.receipt([own(beat)], world.authority.certifiedKey({ purpose: 'node' })) as Json,
    ],
    ['signed for another node', (beat) => world.receipt([{ ...own(beat), node_id: 'node-102' }]) as Json],
    ['signed for an earlier sequence', (beat) => world.receipt([{ ...own(beat), sequence: 1 }]) as Json],
    ['signed for another incarnation', (beat) => world.receipt([{ ...own(beat), incarnation: 'inc-other' }]) as Json],
    [
      'with another sequence than was signed',
      (beat) =>
        ({
          ...(world.receipt([{ ...own(beat), sequence: 1 }]) as object),
          renewals: { document: 'lease-renewals', renewed: [own(beat)] },
        }) as Json,
    ],
  ])('the word of a relay gives no lease, the signature does: %s', async (said, lie) => {
    const member = await started('node-101', 2_500);
    world.onTheWay = (body) => {
      const { beat } = body as unknown as { beat: Record<string, unknown> };
      return {
        status: 200,
        body: { result: { outcome: 'RENEWED', answer: renewed(beat) } as Json, receipt: lie(beat), next_in_ms: 500 },
      };
    };
    world.script = ({ path, from }) => (path.endsWith('/heartbeat') && from === 'node-101' ? 'LOST' : null);
    await pass(4_000);
    expect(member.lease.held()).toBe(said === HONEST);
    expect(world.of('/heartbeat', 'node-101').length > 0).toBe(said !== HONEST);
  });

  test('a relay whose request is not answered answers nobody: its nodes beat directly within the same period', async () => {
    const member = await started('node-101', 2_500);
    world.script = ({ path }) => (path.endsWith('/cluster/heartbeats') ? 'LOST' : null);
    const before = world.of('/heartbeat', 'node-101').length;
    await pass(1_600);
    expect(world.of('/heartbeat', 'node-101').length).toBeGreaterThan(before);
    expect(member.lease.held()).toBe(true);
  });

  test('a look-up of the relay that is not answered costs a beat no more than a silent relay does', async () => {
    world.script = ({ path }) => (path.endsWith(`/cluster/nodes/${RELAY}`) ? 'LOST' : null);
    const startedMs = world.time.nowMs();
    const member = await started('node-101', 700);
    const [first] = world.of('/heartbeat', 'node-101');
    expect(first!.atMs - startedMs).toBeLessThan(600);
    expect(member.lease.held()).toBe(true);
  });

  test('a refusal through the relay is asked for directly; a fence found there ends the session and the node registers anew', async () => {
    const member = await started('node-101', 2_500);
    const fenced = refusal(409, 'NODE_FENCED');
    let silenced = false;
    world.script = ({ path, from, body }) => {
      if (silenced || body['node_epoch'] === 2) return null;
      if (path.endsWith('/cluster/heartbeats'))
        return answer(200, {
          results: [{ outcome: 'REFUSED', code: 'NODE_FENCED', message: 'fenced' }],
          receipt: null,
        });
      if (path.endsWith('/heartbeat') && from === 'node-101') {
        silenced = true;
        return fenced;
      }
      return null;
    };
    await pass(3_000);
    expect(world.of('/register', 'node-101')).toHaveLength(2);
    expect(member.lease.registration()?.nodeEpoch).toBe(2);
    expect(member.lease.held()).toBe(true);
  });

  test('a full relay is registered without, and every beat goes directly', async () => {
    world.script = ({ path, body }) =>
      path.endsWith('/register') && body['relay'] !== undefined ? refusal(409, 'PACK_FULL') : null;
    const member = await started('node-101', 3_000);
    expect(world.of('/register', 'node-101').map(({ body }) => body['relay'])).toEqual([RELAY, undefined]);
    expect(world.batches()).toEqual([]);
    expect(member.lease.held()).toBe(true);
  });

  test('a relay sends at most 100 beats a request, and refuses what is not from the node itself', async () => {
    const relay = world.agents.get(RELAY)!.relay!;
    const beatOf = (node: number) => ({
      node_id: `node-${node}`,
      credential: 'c',
      lease_pack: RELAY,
      beat: { node_epoch: 1, incarnation: 'inc', sequence: 1, attestation: 1 },
    });
    const taken = Array.from({ length: 2 * RELAYED_BEATS_MAX + 1 }, (_, i) => relay.take(beatOf(200 + i)));
    await pass(300);
    const settled = await Promise.all(taken);
    expect(world.batches().map(({ length }) => length)).toEqual([RELAYED_BEATS_MAX, RELAYED_BEATS_MAX]);
    expect(settled.filter(({ ok: good }) => good)).toHaveLength(2 * RELAYED_BEATS_MAX);
    expect(settled.at(-1)).toMatchObject({ ok: false, error: { code: 'RELAY_FULL' } });

    const post = async (nodeId: string, sub: string | null): Promise<Json> => {
      const deps = {
        agent: world.agents.get(nodeId)!,
        host: recordingHost().host,
        log: { info: () => undefined, warn: () => undefined, error: () => undefined },
        nodeId,
        version: '0',
      };
      const token = nodeToken(world.authority, { kind: 'node', sub, node_epoch: 1, incarnation: 'inc' });
      const headers = sub === null ? {} : { authorization: `Bearer ${token}` };
      const answered = handle(deps, { method: 'POST', path: '/relay/heartbeat', headers, body: beatOf(300) });
      await pass(300);
      return (await answered).status;
    };
    await started('node-101');
    expect(await post(RELAY, 'node-300')).toBe(200);
    expect(await post(RELAY, 'node-301')).toBe(403);
    expect(await post(RELAY, null)).toBe(401);
    expect(await post('node-101', 'node-300')).toBe(503);
  });
});

/** What the control plane would have signed for a beat of node-101. */
const own = (beat: Record<string, unknown>) => ({
  node_id: 'node-101',
  node_epoch: beat['node_epoch'],
  incarnation: beat['incarnation'],
  sequence: beat['sequence'],
});
