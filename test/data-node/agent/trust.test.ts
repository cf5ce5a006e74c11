import { generateKeyPairSync } from 'node:crypto';
import { CommandGate } from '../../../data-node/agent/commands.ts';
import { openDataDirectory } from '../../../data-node/agent/data-directory.ts';
import { keyRing } from '../../../data-node/agent/keys.ts';
import { TokenVerifier } from '../../../data-node/agent/token-verifier.ts';
import { handle } from '../../../data-node/server/dispatch.ts';
import { seededRandom } from '../../simulation/random.ts';
import { command, memoryKeys, memoryMeta, recordingHost, testAuthority, virtualEnvironment } from './support.ts';

const random = seededRandom('trust');

describe('commands', () => {
  const setUp = () => {
    const authority = testAuthority();
    const recorder = recordingHost();
    const { environment } = virtualEnvironment('node-101');
    const gate = new CommandGate({
      nodeId: 'node-101',
      host: recorder.host,
      log: environment.log,
      clock: environment.clock,
    });
    gate.useKeys(keyRing(authority.jwks));
    return { authority, gate, recorder };
  };

  test('signed by the cluster for this node: applied, unknown fields and all', async () => {
    const { authority, gate, recorder } = setUp();
    const extended = authority.signed({ ...command(), added_by_a_later_version: true });
    expect(await gate.take([extended])).toMatchObject([{ outcome: 'DONE' }]);
    expect(recorder.applied).toEqual([command()]);
  });

  test.each([
    { what: 'another epoch', change: { epoch: 4 }, code: 'BAD_SIGNATURE' },
    { what: 'another shard', change: { shard_id: 'shard-2' }, code: 'BAD_SIGNATURE' },
    { what: 'another addressee', change: { node_id: 'node-102' }, code: 'BAD_SIGNATURE' },
    { what: 'an added field', change: { more: 1 }, code: 'BAD_SIGNATURE' },
    { what: 'another signature', change: { signature: 'AAAA' }, code: 'BAD_SIGNATURE' },
  ])('tampered with ($what): refused', async ({ change, code }) => {
    const { authority, gate, recorder } = setUp();
    expect(await gate.take([{ ...authority.signed(command()), ...change }])).toMatchObject([
      { outcome: 'REFUSED', code },
    ]);
    expect(recorder.applied).toEqual([]);
  });

  test('of another cluster, or for another node: refused', async () => {
    const { authority, gate, recorder } = setUp();
    const foreign = testAuthority().signed(command());
    const misdirected = authority.signed(command({ node_id: 'node-102', command_id: 'command-2' }));
    expect(await gate.take([foreign, misdirected, { nonsense: true }, null])).toMatchObject([
      { command_id: 'command-1', code: 'BAD_SIGNATURE' },
      { command_id: 'command-2', code: 'NOT_ADDRESSEE' },
    ]);
    expect(recorder.applied).toEqual([]);
  });

  test('the same command by two ways at once is applied once', async () => {
    const { authority, gate, recorder } = setUp();
    const signed = authority.signed(command());
    await Promise.all([gate.take([signed]), gate.take([signed])]);
    expect(recorder.applied).toHaveLength(1);
  });
});

describe('tokens', () => {
  const setUp = () => {
    const authority = testAuthority();
    const { time, environment } = virtualEnvironment('node-101');
    const verifier = new TokenVerifier(environment.clock);
    verifier.useKeys(keyRing(authority.jwks));
    const nowSeconds = Math.floor(environment.clock.wallMs() / 1000);
    const life = { iat: nowSeconds, exp: nowSeconds + 60 };
    return { authority, verifier, life, time, environment };
  };
  const data = { kind: 'data', sub: 'app', tables: ['*'], access: 'read-write' };

  test('node credentials and data tokens are told apart', () => {
    const { authority, verifier, life } = setUp();
    const node = authority.token({ kind: 'node', sub: 'node-102', node_epoch: 4, incarnation: 'inc', ...life });
    expect(verifier.verify(`Bearer ${node}`)).toMatchObject({
      ok: true,
      value: { kind: 'node', nodeId: 'node-102', nodeEpoch: 4 },
    });
    expect(verifier.verify(`Bearer ${authority.token({ ...data, ...life })}`)).toMatchObject({
      ok: true,
      value: { kind: 'client', name: 'app', tables: ['*'], access: 'read-write' },
    });
  });

  test('bad ones are refused', () => {
    const { authority, verifier, life } = setUp();
    const good = authority.token({ ...data, ...life });
    const [header, payload, signature] = good.split('.');
    const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'JWT' })).toString('base64url');
    const wider = Buffer.from(JSON.stringify({ iss: 'shardkeeper', ...data, sub: 'root', ...life })).toString(
      'base64url',
    );
    const bad: Record<string, string | undefined> = {
      missing: undefined,
      empty: '',
      'no scheme': good,
      garbage: 'Bearer x.y.z',
      'another key': `Bearer ${testAuthority().token({ ...data, ...life })}`,
      'alg none': `Bearer ${none}.${payload}.`,
      'alg none with a signature': `Bearer ${none}.${payload}.${signature}`,
      'another payload': `Bearer ${header}.${wider}.${signature}`,
      expired: `Bearer ${authority.token({ ...data, iat: life.iat - 120, exp: life.iat - 1 })}`,
      'another issuer': `Bearer ${authority.token({ ...data, ...life, iss: 'node' })}`,
      'too long': `Bearer ${'a'.repeat(20_000)}`,
    };
    const refused = Object.entries(bad).map(([what, header]) => [what, verifier.verify(header)] as const);
    for (const [what, result] of refused) {
      expect({ what, result }).toMatchObject({ what, result: { ok: false, error: { code: 'UNAUTHENTICATED' } } });
    }
  });

  test.each(['admin', 'joiner', 'nodeKey'])('a token of kind %s is not for data nodes', (kind) => {
    const { authority, verifier, life } = setUp();
    const token = authority.token({ kind, sub: 'x', token_id: 'x', ...life });
    expect(verifier.verify(`Bearer ${token}`)).toMatchObject({ ok: false, error: { code: 'FORBIDDEN' } });
  });

  test('a token without an expiry is refused, and a remembered one ends at its expiry', async () => {
    const { authority, verifier, life, time } = setUp();
    expect(verifier.verify(`Bearer ${authority.token({ ...data })}`).ok).toBe(false);
    const token = `Bearer ${authority.token({ ...data, ...life })}`;
    expect(verifier.verify(token).ok).toBe(true);
    await time.run(61_000);
    expect(verifier.verify(token)).toMatchObject({ ok: false, error: { message: 'the token has expired' } });
  });

  test('the dispatcher lets nodes replicate and clients read rows, not the other way round', async () => {
    const { authority, verifier, life, environment } = setUp();
    const deps = {
      agent: {
        push: () => Promise.resolve([]),
        verifyBearer: (authorization: string | undefined) => verifier.verify(authorization),
        lease: { registration: () => null, held: () => false },
        relay: null,
      },
      host: recordingHost().host,
      log: environment.log,
      nodeId: 'node-101',
      version: '0',
    };
    const node = authority.token({ kind: 'node', sub: 'node-102', node_epoch: 4, incarnation: 'inc', ...life });
    const client = authority.token({ ...data, ...life });
    const post = async (path: string, token: string | null): Promise<number> => {
      const headers = token === null ? {} : { authorization: `Bearer ${token}` };
      return (await handle(deps, { method: 'POST', path, headers, body: {} })).status;
    };
    expect([await post('/replication/append', node), await post('/replication/append', client)]).toEqual([200, 403]);
    expect([await post('/data/get', client), await post('/data/get', node)]).toEqual([200, 403]);
    expect([await post('/data/get', null), await post('/replication/append', null)]).toEqual([401, 401]);
    expect([await post('/nowhere', node), await post('/node/commands', null)]).toEqual([404, 400]);
  });
});

describe('a data directory', () => {
  const open = (nodeId: string, stored: Record<string, string>, pem: string | null = null) =>
    openDataDirectory({ nodeId, meta: memoryMeta(stored), keys: memoryKeys(pem), random });

  test('keeps its identity, and counts attestations over restarts', () => {
    const meta = memoryMeta();
    const keys = memoryKeys();
    const first = openDataDirectory({ nodeId: 'node-101', meta, keys, random });
    if (!first.ok) throw new Error(first.error.message);
    expect([first.value.attest(), first.value.attest()]).toEqual([1, 2]);
    const again = openDataDirectory({ nodeId: 'node-101', meta, keys, random });
    if (!again.ok) throw new Error(again.error.message);
    expect(again.value.storeUuid).toBe(first.value.storeUuid);
    expect(again.value.publicJwk).toEqual(first.value.publicJwk);
    expect(again.value.attest()).toBe(3);
  });

  test('of another node is refused by name; a wiped one is another store', () => {
    const stored: Record<string, string> = {};
    const mine = open('node-101', stored);
    expect(open('node-102', stored)).toMatchObject({
      ok: false,
      error: { code: 'DIRECTORY_OF_ANOTHER_NODE', message: expect.stringContaining('node-101') as string },
    });
    const wiped = open('node-101', {});
    expect(mine.ok && wiped.ok && mine.value.storeUuid !== wiped.value.storeUuid).toBe(true);
  });

  test.each([
    { what: 'a counter that is no number', stored: { 'agent.attestation': 'x' } },
    { what: 'keys that are no JSON', stored: { 'agent.public_keys': '{' } },
    { what: 'no store_uuid', stored: {} },
  ])('with $what is refused as damaged', ({ stored }) => {
    const uuid = Object.keys(stored).length === 0 ? {} : { 'agent.store_uuid': 'store-1' };
    expect(open('node-101', { 'agent.node_id': 'node-101', ...uuid, ...stored })).toMatchObject({
      ok: false,
      error: { code: 'DIRECTORY_DAMAGED' },
    });
  });

  test('with an unreadable key is refused as damaged', () => {
    expect(open('node-101', {}, 'no key')).toMatchObject({ ok: false, error: { code: 'DIRECTORY_DAMAGED' } });
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    expect(open('node-101', {}, pem).ok).toBe(true);
  });
});
