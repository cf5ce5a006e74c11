import type { KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { createLocalRootSigner } from '../../shared/adapters/local-root-signer.ts';
import { generateSigningKey, publicJwk } from '../../shared/adapters/signing-key.ts';
import { createTokenAuthority } from '../../shared/adapters/token-authority.ts';
import { nodeId } from '../../shared/domain/ids.ts';
import type { NodeRecord } from '../../shared/domain/records.ts';
import type { Deps, Principal } from '../../shared/ports.ts';
import { authenticate, bearerToken } from '../../shared/runtime/authenticate.ts';
import { useCaseWorld } from '../support/use-case-world.ts';
import type { UseCaseWorld } from '../support/use-case-world.ts';

/** Who presents a bearer token, and what somebody is told whose token does not count. */

const HOUR_MS = 3_600_000;
const key = generateSigningKey();
const root = createLocalRootSigner({ privateKey: generateSigningKey() });

let world: UseCaseWorld;
let deps: Deps;
beforeEach(() => {
  world = useCaseWorld({ items: 'PLAIN' });
  deps = { ...world.deps, tokens: createTokenAuthority({ clock: world.clock, root }) };
});
afterEach(() => world.close());

const registered = async (id: string, over: Partial<NodeRecord> = {}): Promise<void> => {
  const node: NodeRecord = {
    nodeId: nodeId(id),
    host: '127.0.0.1',
    port: 7000,
    zone: 'a',
    membership: 'ACTIVE',
    cordoned: false,
    maintenance: null,
    publicKey: { ...publicJwk(key) },
    addressNodeEpoch: 1,
    version: '0.1.0',
    registeredAtMs: 0,
    ...over,
  };
  const put = await world.records.commit({
    writes: [{ kind: 'put', entity: 'node', value: node, when: [{ kind: 'absent' }] }],
    audit: [{ entity: `node:${id}`, number: 1, principal: 'test', action: 'TEST', detail: null }],
    events: [],
  });
  expect(put.ok).toBe(true);
};
const nowS = (): number => Math.floor(world.clock.wallMs() / 1000);
const nodeToken = (claims: Record<string, unknown> = {}, by: KeyObject = key): string =>
  jwt.sign({ iss: 'node', aud: 'register', sub: 'node-1', iat: nowS(), exp: nowS() + 60, ...claims }, by, {
    algorithm: 'ES256',
  });
/** What the caller is told: kind of principal, or code and message. */
const told = async (header: string | undefined): Promise<string> => {
  const caller = await authenticate(deps, header);
  if (caller.ok) return caller.value.kind;
  expect(caller.error.kind).toBe('UNAUTHENTICATED');
  return `${caller.error.code}: ${caller.error.message}`;
};

const NO_TOKEN = 'UNAUTHENTICATED: Send a token: `Authorization: Bearer <token>`.';
const NOT_BEARER = 'UNAUTHENTICATED: The Authorization header is not `Bearer <token>`.';
const NOT_OURS = 'UNAUTHENTICATED: The token is not signed by this control plane.';
const NOT_ITS_KEY = 'UNAUTHENTICATED: The node token is not signed by the key with which this node registered.';

describe('the Authorization header', () => {
  test.each([
    ['as RFC 6750 has it', 'Bearer abc.def', 'abc.def'],
    ['whose scheme is in any case', 'bEARER abc', 'abc'],
    ['with space around it', '  Bearer abc  ', 'abc'],
    ['of the greatest length', `Bearer ${'a'.repeat(8192)}`, 'a'.repeat(8192)],
  ])('%s holds a token', (_what, header, token) => {
    expect(bearerToken(header)).toEqual({ ok: true, value: token });
  });

  test.each([
    ['that is missing', undefined, NO_TOKEN],
    ['that is empty', '', NO_TOKEN],
    ['of spaces', '   ', NO_TOKEN],
    ['without a token', 'Bearer', NOT_BEARER],
    ['of another scheme', 'Basic abc', NOT_BEARER],
    ['with something before the scheme', 'x Bearer abc', NOT_BEARER],
    ['with something behind the token', 'Bearer abc def', NOT_BEARER],
    ['with letters beyond ASCII', 'Bearer ab\u00e9', NOT_BEARER],
    ['longer than any token', `Bearer ${'a'.repeat(8193)}`, NOT_BEARER],
  ])('%s is refused with what to send', async (_what, header, message) => {
    expect(await told(header)).toBe(message);
  });
});

describe('a token of the control plane', () => {
  test('tells who its bearer is', async () => {
    const token = await deps.tokens.issue({ kind: 'admin', name: 'ann' }, HOUR_MS);
    expect(await authenticate(deps, `Bearer ${token}`)).toEqual({ ok: true, value: { kind: 'admin', name: 'ann' } });
  });

  test('that has expired says so; one that is not ours, or none at all, says that', async () => {
    const token = await deps.tokens.issue({ kind: 'admin', name: 'ann' }, 60_000);
    world.clock.advance(120_000);
    expect(await told(`Bearer ${token}`)).toBe('TOKEN_EXPIRED: The token has expired.');
    const base64 = (text: string): string => Buffer.from(text).toString('base64url');
    const foreign = jwt.sign({ iss: 'elsewhere', sub: 'node-1' }, key, { algorithm: 'ES256' });
    const noJson = `${base64('{"alg":"ES256","typ":"JWT"}')}.${base64('no JSON')}.AAAA`;
    for (const other of [foreign, noJson, 'garbage']) expect(await told(`Bearer ${other}`)).toBe(NOT_OURS);
  });

  test('never stands for the control plane itself', async () => {
    const system: Principal = { kind: 'system', name: 'detector' };
    const believing = {
      ...deps,
      tokens: { ...deps.tokens, verify: async () => ({ ok: true, value: system }) as const },
    };
    expect(await authenticate(believing, 'Bearer abc')).toMatchObject({
      ok: false,
      error: { code: 'UNAUTHENTICATED', message: 'No token stands for the system.' },
    });
  });
});

describe('a token that a node signed with the key by which it registered', () => {
  test('proves the node, for five minutes at most', async () => {
    await registered('node-1');
    expect(await authenticate(deps, `Bearer ${nodeToken()}`)).toEqual({
      ok: true,
      value: { kind: 'nodeKey', nodeId: 'node-1' },
    });
    expect(await told(`Bearer ${nodeToken({ exp: nowS() + 300 })}`)).toBe('nodeKey');
    expect(await told(`Bearer ${nodeToken({ exp: nowS() + 301 })}`)).toBe(
      'UNAUTHENTICATED: A node token lives at most 300 s.',
    );
  });

  test('is good while the clocks of node and control plane are a minute apart, and not beyond', async () => {
    await registered('node-1');
    const issued = (shiftS: number): string => nodeToken({ iat: nowS() + shiftS, exp: nowS() + shiftS + 60 });
    expect(await told(`Bearer ${issued(60)}`)).toBe('nodeKey');
    expect(await told(`Bearer ${issued(61)}`)).toBe('UNAUTHENTICATED: The node token was issued in the future.');
    expect(await told(`Bearer ${issued(-119)}`)).toBe('nodeKey');
    expect(await told(`Bearer ${issued(-120)}`)).toBe('TOKEN_EXPIRED: The node token has expired; sign a new one.');
  });

  test.each(['aud', 'sub', 'iat', 'exp'])('without the claim %s is refused with what is needed', async (claim) => {
    await registered('node-1');
    const { [claim]: _left, ...claims } = jwt.decode(nodeToken(), { json: true }) ?? {};
    const token = jwt.sign(claims, key, { algorithm: 'ES256', ...(claim === 'iat' ? { noTimestamp: true } : {}) });
    expect(await told(`Bearer ${token}`)).toBe(
      'UNAUTHENTICATED: The node token lacks a claim: iss, aud, sub, iat and exp are needed.',
    );
  });

  test('is void once the node has been decommissioned, and still counts while it leaves', async () => {
    await registered('node-1', { membership: 'DECOMMISSIONING' });
    await registered('node-2', { membership: 'DECOMMISSIONED' });
    expect(await told(`Bearer ${nodeToken()}`)).toBe('nodeKey');
    expect(await told(`Bearer ${nodeToken({ sub: 'node-2' })}`)).toBe(NOT_ITS_KEY);
  });

  test('of another algorithm is refused', async () => {
    await registered('node-1');
    const claims = { iss: 'node', aud: 'register', sub: 'node-1', iat: nowS(), exp: nowS() + 60 };
    expect(await told(`Bearer ${jwt.sign(claims, 'secret', { algorithm: 'HS256' })}`)).toBe(NOT_ITS_KEY);
    expect(await told(`Bearer ${jwt.sign(claims, '', { algorithm: 'none' })}`)).toBe(NOT_ITS_KEY);
  });

  test.each<[string, () => string]>([
    ['now', () => nodeToken({}, generateSigningKey())],
    ['far in the future', () => nodeToken({ iat: nowS() + 600, exp: nowS() + 660 }, generateSigningKey())],
    ['long ago', () => nodeToken({ iat: nowS() - 600, exp: nowS() - 540 }, generateSigningKey())],
  ])('by a stranger, issued %s, does not tell whether the node exists', async (_when, forged) => {
    const token = forged();
    const unknown = await told(`Bearer ${token}`);
    await registered('node-1');
    expect(await told(`Bearer ${token}`)).toBe(unknown);
  });

  test.each<[string, NodeRecord['publicKey']]>([
    ['without a key', null],
    ['with a key that is none', { kty: 'EC', crv: 'P-256' }],
  ])('does not open the door to a node that registered %s', async (_what, publicKey) => {
    await registered('node-1', { publicKey });
    expect(await told(`Bearer ${nodeToken()}`)).toBe(NOT_ITS_KEY);
  });

  test('counts as soon as the store answers again: a failure of the store is thrown', async () => {
    await registered('node-1');
    world.faults.use(() => ({ refuse: 'UNAVAILABLE' }));
    await expect(authenticate(deps, `Bearer ${nodeToken()}`)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    world.faults.none();
    expect(await told(`Bearer ${nodeToken()}`)).toBe('nodeKey');
  });
});
