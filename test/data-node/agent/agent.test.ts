import { Agent } from '../../../data-node/agent/agent.ts';
import type { AgentEnd } from '../../../data-node/agent/agent.ts';
import { openDataDirectory } from '../../../data-node/agent/data-directory.ts';
import type { ControlPlaneAnswer } from '../../../data-node/agent/ports.ts';
import { err, ok } from '../../../shared/domain/result.ts';
import { command, memoryKeys, memoryMeta, recordingHost, testAuthority, virtualEnvironment } from './support.ts';

/** The agent against a scripted control plane, under virtual time. Lease profile `fast`: 1 s, 3 s, bound 500 ms. */
interface Request {
  readonly path: string;
  readonly bearer: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly atMs: number;
}
type Answer = ControlPlaneAnswer | 'LOST';

const LATENCY_MS = 5;

function start(
  script: (request: Request, count: number) => Answer | null,
  stored: Record<string, string> = {},
  said: { readonly labels?: Readonly<Record<string, string>>; readonly capacityWeight?: number } = {},
) {
  const { time, environment } = virtualEnvironment('node-101');
  const authority = testAuthority();
  const requests: Request[] = [];
  let epoch = 0;
  const standard = ({ path, body }: Request): ControlPlaneAnswer => {
    if (path.endsWith('/register')) {
      epoch++;
      return answer(200, {
        status: 'success',
        message: 'Node registered',
        node_id: 'node-101',
        node_epoch: epoch,
        incarnation: body['incarnation'],
        store_uuid: body['store_uuid'],
        credential: `credential-${epoch}`,
        settings: {
          lease_profile: 'fast',
          lease_ms: 3_000,
          renew_ms: 1_000,
          drift_bound_ms: 500,
          public_keys: authority.jwks,
        },
      });
    }
    if (path.endsWith('/heartbeat')) return heartbeat(body);
    if (path.endsWith('/release')) return answer(200, { status: 'success' });
    const reports = body['reports'] as unknown[];
    const result = { outcome: 'APPLIED', code: null, message: null, descriptor: null };
    return answer(200, { results: reports.map(() => result) });
  };
  const meta = memoryMeta(stored);
  const directory = openDataDirectory({ nodeId: 'node-101', meta, keys: memoryKeys(), random: environment.random });
  if (!directory.ok) throw new Error(directory.error.message);
  const agent = new Agent({
    environment,
    controlPlane: {
      call: async ({ path, bearer, body, timeoutMs }) => {
        const request = {
          path,
          bearer,
          body: (body ?? {}) as Record<string, unknown>,
          atMs: time.nowMs(),
        };
        const count = requests.filter((earlier) => earlier.path === path).length + 1;
        requests.push(request);
        const scripted = script(request, count) ?? standard(request);
        await environment.timers.sleep(scripted === 'LOST' ? timeoutMs : LATENCY_MS);
        return scripted === 'LOST' ? err({ code: 'UNREACHABLE', message: 'lost' }) : ok(scripted);
      },
    },
    directory: directory.value,
    address: { nodeId: 'node-101', host: '127.0.0.1', port: 7001, zone: 'a', version: '0', ...said },
    joinToken: 'join-token',
  });
  const host = recordingHost();
  agent.attach(host.host);
  let end: AgentEnd | null = null;
  void agent.run().then((reached) => {
    end = reached;
  });
  const of = (call: string): Request[] => requests.filter((request) => request.path.endsWith(call));
  return { time, agent, host, meta, of, authority, end: () => end, directory: directory.value };
}

const answer = (status: number, body: unknown, retryAfterSeconds: number | null = null): ControlPlaneAnswer => ({
  status,
  body,
  retryAfterSeconds,
});
const refusal = (status: number, code: string, retryAfterSeconds: number | null = null): ControlPlaneAnswer =>
  answer(status, { type: 'about:blank', title: code, status, code, detail: code }, retryAfterSeconds);
const heartbeat = (body: Readonly<Record<string, unknown>>, extra: object = {}): ControlPlaneAnswer =>
  answer(200, {
    status: 'success',
    sequence: body['sequence'],
    node_epoch: body['node_epoch'],
    mail: 0,
    commands: [],
    credential: null,
    ...extra,
  });

describe('registration (L4)', () => {
  test('a new directory joins by its join token, a known one by its own key', async () => {
    const fresh = start(() => null);
    await fresh.time.run(100);
    expect(fresh.of('/register').map((request) => request.bearer)).toEqual(['join-token']);
    expect(fresh.of('/register')[0]?.body).not.toHaveProperty('attestation');

    const known = start(() => null, fresh.meta.stored);
    await known.time.run(100);
    const [request] = known.of('/register');
    const claims = JSON.parse(Buffer.from(request?.bearer.split('.')[1] ?? '', 'base64url').toString()) as object;
    expect(claims).toMatchObject({ kind: 'nodeKey', iss: 'node', sub: 'node-101', aud: 'register' });
    expect(request?.body['attestation']).toEqual({ node_epoch: 1, counter: 1 });
    expect(request?.body['store_uuid']).toBe(fresh.directory.storeUuid);
  });

  test('says what the node is good for, if it was told: a control plane of an earlier release knows no such fields', async () => {
    const told = start(() => null, {}, { labels: { disk: 'ssd' }, capacityWeight: 2 });
    await told.time.run(100);
    expect(told.of('/register')[0]?.body).toMatchObject({ labels: { disk: 'ssd' }, capacity_weight: 2 });
    const silent = start(() => null);
    await silent.time.run(100);
    const { body } = silent.of('/register')[0] ?? {};
    expect(Object.keys(body ?? {}).filter((field) => ['labels', 'capacity_weight'].includes(field))).toEqual([]);
  });

  test('waits as NODE_ALIVE says, and repeats with the same incarnation', async () => {
    const node = start((request, count) =>
      request.path.endsWith('/register') && count <= 2 ? refusal(409, 'NODE_ALIVE', 2) : null,
    );
    await node.time.run(10_000);
    const registrations = node.of('/register');
    expect(registrations.map((request) => Math.round(request.atMs / 1_000))).toEqual([0, 2, 4]);
    expect(new Set(registrations.map((request) => request.body['incarnation'])).size).toBe(1);
    expect(node.host.registrations).toEqual([{ nodeEpoch: 1 }]);
  });

  test('a join token whose first answer was lost: the node proves itself by its key', async () => {
    const node = start((request, count) => {
      if (!request.path.endsWith('/register')) return null;
      if (count === 1) return 'LOST';
      return request.bearer === 'join-token' ? refusal(401, 'JOIN_TOKEN_USED') : null;
    });
    await node.time.run(10_000);
    expect(node.host.registrations).toEqual([{ nodeEpoch: 1 }]);
  });

  test.each([
    { code: 'STORE_ROLLED_BACK', status: 409, end: { kind: 'ROLLED_BACK' } },
    { code: 'NODE_DECOMMISSIONED', status: 409, end: { kind: 'REFUSED', code: 'NODE_DECOMMISSIONED' } },
    { code: 'INVALID_REQUEST', status: 400, end: { kind: 'REFUSED', code: 'INVALID_REQUEST' } },
    { code: 'UNAUTHENTICATED', status: 401, end: { kind: 'REFUSED', code: 'UNAUTHENTICATED' } },
  ])('$code ends the agent, which led nothing', async ({ code, status, end }) => {
    const node = start((request) => (request.path.endsWith('/register') ? refusal(status, code) : null));
    await node.time.run(20_000);
    expect(node.end()).toMatchObject(end);
    expect(node.host.registrations).toEqual([]);
    expect(node.agent.lease.held()).toBe(false);
  });
});

describe('the lease (L3)', () => {
  test('is held from the first acknowledgement, renewed at a fixed rate, attested before each beat', async () => {
    const node = start(() => null);
    await node.time.run(LATENCY_MS + 1);
    expect(node.agent.lease.held()).toBe(false);
    await node.time.run(5_000);
    expect(node.agent.lease.held()).toBe(true);
    const beats = node.of('/heartbeat');
    expect(beats.map((beat) => beat.body['sequence'])).toEqual([1, 2, 3, 4, 5]);
    expect(beats.map((beat) => beat.body['attestation'])).toEqual([1, 2, 3, 4, 5]);
    expect(beats.map((beat) => beat.atMs)).toEqual([5, 1_005, 2_005, 3_005, 4_005]);
  });

  test('one lost answer does not stop the next beat; many lost ones end the lease 2.5 s after the last good send', async () => {
    let away = false;
    const node = start((request) => (away && request.path.endsWith('/heartbeat') ? 'LOST' : null));
    await node.time.run(1_500);
    away = true;
    await node.time.run(1_005 + 2_499);
    expect(node.agent.lease.held()).toBe(true);
    await node.time.run(1_005 + 2_500);
    expect(node.agent.lease.held()).toBe(false);
    expect(node.of('/heartbeat').length).toBeGreaterThanOrEqual(4);
    // It is not fenced yet, so it may renew under its epoch (L1).
    away = false;
    await node.time.run(6_100);
    expect(node.agent.lease.held()).toBe(true);
    expect(node.host.registrations).toHaveLength(1);
  });

  test('a disk that refuses the attestation keeps the node from renewing', async () => {
    const node = start(() => null);
    await node.time.run(1_500);
    node.meta.put = () => {
      throw new Error('disk full');
    };
    await node.time.run(10_000);
    expect(node.of('/heartbeat')).toHaveLength(2);
    expect(node.agent.lease.held()).toBe(false);
  });

  test('a fenced node drops its lease at once and registers as a new incarnation; answers to the old one change nothing', async () => {
    const node = start((request, count) =>
      request.path.endsWith('/heartbeat') && count === 3 ? refusal(409, 'NODE_FENCED') : null,
    );
    await node.time.run(2_005 + LATENCY_MS + 1);
    expect(node.agent.lease.held()).toBe(false);
    expect(node.agent.lease.registration()).toBeNull();
    await node.time.run(3_000);
    expect(node.agent.lease.registration()).toMatchObject({ nodeEpoch: 2 });
    expect(node.host.registrations).toEqual([{ nodeEpoch: 1 }, { nodeEpoch: 2 }]);
    expect(new Set(node.of('/register').map((request) => request.body['incarnation'])).size).toBe(2);
    const firstOfNew = node.of('/heartbeat').find((beat) => beat.body['node_epoch'] === 2);
    expect(firstOfNew?.body['sequence']).toBe(1);
    expect(firstOfNew?.body['attestation']).toBe(4); // of the directory, not of the incarnation
  });
});

describe('commands and reports', () => {
  test('commands of a heartbeat are applied once and acknowledged by a report; mail_seen follows', async () => {
    const signed: object[] = [];
    const node = start((request, count) =>
      request.path.endsWith('/heartbeat') && count <= 2
        ? heartbeat(request.body, { mail: 7, commands: count === 1 ? signed : [] })
        : null,
    );
    signed.push(node.authority.signed(command()));
    await node.time.run(3_500);
    expect(node.host.applied.map((applied) => applied.command_id)).toEqual(['command-1']);
    const [report] = node.of('/reports');
    expect(report?.body['reports']).toMatchObject([{ type: 'command_ack', command_id: 'command-1', outcome: 'DONE' }]);
    expect(node.of('/heartbeat').map((beat) => beat.body['mail_seen'])).toEqual([undefined, 7, 7, 7]);
  });

  test('reports that wait go together, equal ones once', async () => {
    const node = start(() => null);
    await node.time.run(100);
    const receipt = (shard: number) => ({
      type: 'step_down_receipt' as const,
      shard_id: `shard-${shard}`,
      replica_id: 'replica-1',
      epoch: 1,
      generation: 1,
    });
    const outcomes = Array.from({ length: 300 }, (_, i) => node.agent.controlPlane.report([receipt(i % 250)]));
    await node.time.run(1_000);
    expect((await Promise.all(outcomes)).every((outcome) => outcome.ok)).toBe(true);
    const sizes = node.of('/reports').map((request) => (request.body['reports'] as unknown[]).length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(100);
    expect(sizes.length).toBeLessThan(12);
  });

  test('a clean stop closes the shard host, then gives up the lease', async () => {
    const node = start(() => null);
    await node.time.run(1_500);
    void node.agent.stop();
    await node.time.run(2_000);
    expect(node.end()).toEqual({ kind: 'STOPPED' });
    expect(node.host.closedTimes()).toBe(1);
    expect(node.of('/release')[0]?.body).toMatchObject({ node_epoch: 1 });
    expect(node.agent.lease.held()).toBe(false);
  });
});
