import jwt from 'jsonwebtoken';
import { createLocalRootSigner } from '../../shared/adapters/local-root-signer.ts';
import { generateSigningKey } from '../../shared/adapters/signing-key.ts';
import { createTokenAuthority } from '../../shared/adapters/token-authority.ts';
import { incarnation, nodeEpoch, nodeId } from '../../shared/domain/ids.ts';
import type { Json } from '../../shared/domain/records.ts';
import { SignerError } from '../../shared/ports.ts';
import type { RootSigner, TokenAuthority } from '../../shared/ports.ts';
import { certifiedKeys } from '../support/certificates.ts';
import { ManualClock } from '../support/environment.ts';

/** What tokens and signatures hold, how long they count, and what somebody is told whose token does not. */

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const ADMIN = { kind: 'admin', name: 'ann' } as const;
const NODE = {
  kind: 'node',
  nodeId: nodeId('node-1'),
  nodeEpoch: nodeEpoch(7),
  incarnation: incarnation('i-1'),
} as const;
const DATA = { kind: 'data', name: 'app', tables: ['cities'], access: 'read' } as const;

let clock: ManualClock;
let authority: TokenAuthority;
const nowS = (): number => Math.floor(clock.wallMs() / 1000);
const { root, kid, certificate, token } = certifiedKeys(() => nowS());
beforeEach(() => {
  clock = new ManualClock();
  authority = createTokenAuthority({ clock, root: createLocalRootSigner({ privateKey: root }) });
});
const told = async (text: string): Promise<string> => {
  const verified = await authority.verify(text);
  return verified.ok ? verified.value.kind : `${verified.error.code}: ${verified.error.message}`;
};
const headerOf = (text: string): Record<string, unknown> => ({ ...jwt.decode(text, { complete: true })?.header });

describe('a token that is issued', () => {
  test('names the key that signed it, and brings the certificate of a key that is not the root', async () => {
    expect(headerOf(await authority.issue(ADMIN, MINUTE_MS))).toEqual({ alg: 'ES256', typ: 'JWT', kid });
    const header = headerOf(await authority.issue(NODE, MINUTE_MS));
    expect(Object.keys(header)).toEqual(['alg', 'typ', 'kid', 'cert']);
    expect(header).toMatchObject({ alg: 'ES256', typ: 'JWT' });
    expect(header['kid']).not.toBe(kid);
  });

  test('lives a second at least, and no longer than the certificate of its key', async () => {
    expect(jwt.decode(await authority.issue(ADMIN, 1999))).toMatchObject({ iat: nowS(), exp: nowS() + 1 });
    expect(jwt.decode(await authority.issue(ADMIN, 1000))).toMatchObject({ exp: nowS() + 1 });
    await expect(authority.issue(ADMIN, 999)).rejects.toThrow('a token lives at least 1 s');
    expect(jwt.decode(await authority.issue(NODE, DAY_MS))).toMatchObject({ exp: nowS() + DAY_MS / 1000 });
    for (const claims of [NODE, DATA])
      await expect(authority.issue(claims, DAY_MS + 1)).rejects.toThrow('does not outlive the certificate of its key');
    expect(jwt.decode(await authority.issue(ADMIN, 30 * DAY_MS))).toMatchObject({ exp: nowS() + 30 * (DAY_MS / 1000) });
  });

  test('needs a root that has a key', async () => {
    const keyless: RootSigner = {
      ...createLocalRootSigner({ privateKey: root }),
      publicKeys: () => Promise.resolve([]),
    };
    const without = createTokenAuthority({ clock, root: keyless });
    await expect(without.issue(ADMIN, MINUTE_MS)).rejects.toThrow('a root has a key that signs');
  });
});

describe('a token that is refused', () => {
  const base64 = (text: string): string => Buffer.from(text).toString('base64url');
  const DATA_ONLY =
    'TOKEN_INVALID: A data token is for data nodes; this API needs an admin token or a node credential.';
  const NOT_OURS = 'TOKEN_INVALID: The token is not signed by this control plane.';
  const OTHER_PURPOSE = 'TOKEN_INVALID: The key that signed the token is certified for another purpose.';
  const claims = { kind: 'admin', sub: 'ann' };
  const nodeClaims = { kind: 'node', sub: 'node-1', node_epoch: 7, incarnation: 'i-1' };

  test.each<[string, () => string, string]>([
    ['names no key', () => token(claims, undefined).replace(/^[^.]*/, base64('{"alg":"ES256","typ":"JWT"}')), NOT_OURS],
    [
      'names a key that nobody has',
      () => token(claims).replace(/^[^.]*/, base64('{"alg":"ES256","typ":"JWT","kid":"nobody"}')),
      NOT_OURS,
    ],
    ['has no header', () => 'nonsense', NOT_OURS],
    [
      'has a payload that is no JSON',
      () => `${base64(`{"alg":"ES256","typ":"JWT","kid":"${kid}"}`)}.AAAA.AAAA`,
      NOT_OURS,
    ],
    ['has a certificate that is no text', () => token(nodeClaims, { nested: 'x' }), NOT_OURS],
    ['has a certificate of a stranger', () => token(nodeClaims, certificate({}, {}, generateSigningKey())), NOT_OURS],
    ['is a certificate', () => certificate(claims), NOT_OURS],
    [
      'is signed by another key than it names',
      () => token(claims, undefined, generateSigningKey()),
      'TOKEN_INVALID: The token is not valid.',
    ],
    ['is of another issuer', () => token({ ...claims, iss: 'node' }), 'TOKEN_INVALID: The token is not valid.'],
    ['has expired', () => token({ ...claims, exp: nowS() - 5 }), 'TOKEN_EXPIRED: The token has expired.'],
    ['lacks a claim', () => token({ kind: 'admin' }), 'TOKEN_INVALID: The token lacks a claim.'],
    ['has an empty subject', () => token({ ...claims, sub: '' }), 'TOKEN_INVALID: The token lacks a claim.'],
    [
      'has a subject too long',
      () => token({ ...claims, sub: 'a'.repeat(257) }),
      'TOKEN_INVALID: The token lacks a claim.',
    ],
    [
      'is for data nodes alone',
      () => token({ kind: 'data', sub: 'app', tables: ['cities'], access: 'read' }),
      DATA_ONLY,
    ],
    ['is an administrator’s by a certified key', () => token(claims, certificate()), OTHER_PURPOSE],
    ['is a node’s by a key for data', () => token(nodeClaims, certificate({ purpose: 'data' })), OTHER_PURPOSE],
  ])('as it %s: says so', async (_what, made, refusal) => {
    expect(await told(made())).toBe(refusal);
  });
});

describe('a token that came before', () => {
  test('is not verified again, to the end of its time and the seconds by which clocks differ', async () => {
    // It may not be used before its `nbf`: one that is verified again would not count on a clock that was set back.
    const text = token({ kind: 'admin', sub: 'ann', exp: nowS() + 4, nbf: nowS() + 8 });
    clock.advance(6_000);
    expect(await told(text)).toBe('admin');
    clock.advance(-4_000);
    expect(await told(text)).toBe('admin');
    const another = createTokenAuthority({ clock, root: createLocalRootSigner({ privateKey: root }) });
    expect(await another.verify(text)).toMatchObject({ ok: false });
    clock.advance(6_999);
    expect(await told(text)).toBe('admin');
    clock.advance(1);
    expect(await told(text)).toBe('TOKEN_EXPIRED: The token has expired.');
  });

  test('ends with the certificate of the key that signed it', async () => {
    const text = token(
      { kind: 'node', sub: 'node-1', node_epoch: 7, incarnation: 'i-1', exp: nowS() + 600 },
      certificate({ exp: nowS() + 60 }),
    );
    clock.advance(59_999);
    expect(await told(text)).toBe('node');
    clock.advance(1);
    expect(await told(text)).toBe('TOKEN_INVALID: The token is not signed by this control plane.');
  });
});

test('a root that can’t be asked for its keys is asked again by the next caller', async () => {
  const local = createLocalRootSigner({ privateKey: root });
  let asked = 0;
  const publicKeys: RootSigner['publicKeys'] = () =>
    ++asked === 1 ? Promise.reject(new SignerError('KMS is away')) : local.publicKeys();
  const late = createTokenAuthority({ clock, root: { ...local, publicKeys } });
  const text = token({ kind: 'admin', sub: 'ann' });
  await expect(late.verify(text)).rejects.toThrow('KMS is away');
  expect(await late.verify(text)).toMatchObject({ ok: true });
  expect(await late.verify(token({ kind: 'admin', sub: 'bob' }))).toMatchObject({ ok: true });
  expect(asked).toBe(2);
});

describe('a command', () => {
  const signed = async (): Promise<Json> => ({
    command_id: 'c-1',
    ...(await authority.signCommand({ command_id: 'c-1' })),
  });

  const endless = jwt.sign({ iss: 'shardkeeper' }, generateSigningKey(), { algorithm: 'ES256' });

  test('that waited goes as it is while its certificate lasts for ten minutes more', async () => {
    const command = await signed();
    clock.advance(110 * MINUTE_MS);
    expect(await authority.refreshCommand(command)).toBe(command);
    clock.advance(1);
    const fresh = await authority.refreshCommand(command);
    expect(fresh).toMatchObject({ command_id: 'c-1' });
    expect(fresh).not.toMatchObject({ certificate: (command as { certificate: string }).certificate });
  });

  test.each<[string, Json]>([
    ['none', null],
    ['one that is no text', 5],
    ['one that is no certificate', 'nonsense'],
    ['one without an end', endless],
  ])('whose certificate is %s is signed anew', async (_what, spoilt) => {
    const fresh = await authority.refreshCommand({ command_id: 'c-1', signature: 'x', certificate: spoilt });
    expect(fresh).toMatchObject({ command_id: 'c-1' });
    expect((fresh as Record<string, Json>)['certificate']).toMatch(/^ey/);
    expect(fresh).not.toMatchObject({ certificate: spoilt });
  });

  test('has to have a canonical form', async () => {
    await expect(authority.signCommand(undefined as unknown as Json)).rejects.toThrow('a command has a canonical form');
  });
});
