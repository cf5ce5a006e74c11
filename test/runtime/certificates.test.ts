import { createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { createLocalRootSigner } from '../../shared/adapters/local-root-signer.ts';
import { generateSigningKey, jwsOf, jwsSigningInput, publicJwk, signEs256 } from '../../shared/adapters/signing-key.ts';
import { createTokenAuthority } from '../../shared/adapters/token-authority.ts';
import { CERTIFICATE_TYPE } from '../../shared/contracts/certificates.ts';
import { incarnation, nodeEpoch, nodeId } from '../../shared/domain/ids.ts';
import type { Json } from '../../shared/domain/records.ts';
import { SignerError } from '../../shared/ports.ts';
import type { RootSigner } from '../../shared/ports.ts';
import { ManualClock } from '../support/environment.ts';

/** Keys of processes, certified by the root: how often it is asked, how long they last, what they may sign. */
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const NODE = {
  kind: 'node',
  nodeId: nodeId('node-101'),
  nodeEpoch: nodeEpoch(7),
  incarnation: incarnation('i-1'),
} as const;

function countedRoot(privateKey: KeyObject = generateSigningKey()) {
  const local = createLocalRootSigner({ privateKey });
  const counted = { signatures: 0, away: false };
  const root: RootSigner = {
    sign: (data) => {
      if (counted.away) return Promise.reject(new SignerError('KMS is away'));
      counted.signatures++;
      return local.sign(data);
    },
    publicKeys: () => local.publicKeys(),
  };
  return { root, counted, privateKey };
}

const certificateOf = (token: string): string =>
  String((jwt.decode(token, { complete: true })?.header as unknown as Record<string, unknown>)['cert']);

describe('what the root is asked for', () => {
  test('one signature for a process and a purpose, however many commands and credentials', async () => {
    const { root, counted } = countedRoot();
    const authority = createTokenAuthority({ clock: new ManualClock(), root });
    await Promise.all(Array.from({ length: 500 }, (_, n) => authority.signCommand({ n })));
    expect(counted.signatures).toBe(1);
    for (let n = 0; n < 50; n++) await authority.issue(NODE, DAY_MS);
    expect(counted.signatures).toBe(2);
  });

  test('tokens that open much are signed by the root itself', async () => {
    const { root, counted } = countedRoot();
    const authority = createTokenAuthority({ clock: new ManualClock(), root });
    const admin = await authority.issue({ kind: 'admin', name: 'ann' }, DAY_MS);
    await authority.issue({ kind: 'joiner', tokenId: 'jt-1' }, 7 * DAY_MS);
    expect(counted.signatures).toBe(2);
    expect(jwt.decode(admin, { complete: true })?.header).not.toHaveProperty('cert');
  });
});

describe('renewal', () => {
  test('is tried from half an hour on; without the root the key signs on to the end of its hour', async () => {
    const { root, counted } = countedRoot();
    const clock = new ManualClock();
    const authority = createTokenAuthority({ clock, root });
    const certificate = async (): Promise<string> => (await authority.signCommand({})).certificate;
    const first = await certificate();
    clock.advance(29 * MINUTE_MS);
    expect(await certificate()).toBe(first);
    counted.away = true;
    clock.advance(2 * MINUTE_MS);
    expect(await certificate()).toBe(first);
    clock.advance(28 * MINUTE_MS);
    expect(await certificate()).toBe(first);
    clock.advance(2 * MINUTE_MS);
    await expect(certificate()).rejects.toThrow(SignerError);
    counted.away = false;
    const second = await certificate();
    expect(second).not.toBe(first);
    clock.advance(31 * MINUTE_MS);
    expect(await certificate()).not.toBe(second);
  });

  test('what a key signed last is good for its whole life', async () => {
    const { root } = countedRoot();
    const clock = new ManualClock();
    const authority = createTokenAuthority({ clock, root });
    await authority.issue(NODE, DAY_MS);
    clock.advance(29 * MINUTE_MS);
    const last = await authority.issue(NODE, DAY_MS);
    clock.advance(DAY_MS - MINUTE_MS);
    expect(await authority.verify(last)).toMatchObject({ ok: true, value: { kind: 'node' } });
    clock.advance(2 * MINUTE_MS);
    expect(await authority.verify(last)).toMatchObject({ ok: false, error: { code: 'TOKEN_EXPIRED' } });
  });

  test('a command that waited is signed anew when its certificate is about to end', async () => {
    const { root } = countedRoot();
    const clock = new ManualClock();
    const authority = createTokenAuthority({ clock, root });
    const command = { command_id: 'c-1', nested: { a: 1 } };
    const signed = { ...command, ...(await authority.signCommand(command)) } as unknown as Json;
    clock.advance(HOUR_MS);
    expect(await authority.refreshCommand(signed)).toBe(signed);
    clock.advance(7 * DAY_MS);
    const fresh = (await authority.refreshCommand(signed)) as Record<string, unknown>;
    expect(fresh).toMatchObject(command);
    expect(fresh['certificate']).not.toBe((signed as Record<string, unknown>)['certificate']);
    const unsigned = (await authority.refreshCommand(command)) as Record<string, unknown>;
    expect(Object.keys(unsigned).toSorted()).toEqual(['certificate', 'command_id', 'nested', 'signature']);
  });
});

describe('a certificate is believed for what it says, and no more', () => {
  const clock = new ManualClock();
  const nowS = Math.floor(clock.wallMs() / 1000);
  const { root, privateKey } = countedRoot();
  const authority = createTokenAuthority({ clock, root });
  const kid = publicJwk(privateKey).kid;
  const mine = generateSigningKey();
  const { x, y } = publicJwk(mine);
  const good = {
    iss: 'shardkeeper',
    purpose: 'node',
    key: { kty: 'EC', crv: 'P-256', x, y },
    iat: nowS,
    exp: nowS + 60,
  };
  const jws = (header: object, payload: object, key: KeyObject): string => {
    const input = jwsSigningInput(header, payload);
    return jwsOf(input, signEs256(key, Buffer.from(input)));
  };
  const certificate = (claims: object = {}, header: object = {}, by: KeyObject = privateKey): string =>
    jws({ alg: 'ES256', typ: CERTIFICATE_TYPE, kid, ...header }, { ...good, ...claims }, by);
  const nodeClaims = { kind: 'node', sub: 'node-101', node_epoch: 7, incarnation: 'i-1' };
  const token = (cert: unknown, claims: object = nodeClaims, by: KeyObject = mine): string =>
    jws(
      { alg: 'ES256', typ: 'JWT', kid: 'any', cert },
      { iss: 'shardkeeper', iat: nowS, exp: nowS + 60, ...claims },
      by,
    );

  test('root -> certificate -> token', async () => {
    expect(await authority.verify(token(certificate()))).toMatchObject({ ok: true, value: { kind: 'node' } });
  });

  test.each<[string, () => string]>([
    ['a key certified for commands', () => token(certificate({ purpose: 'command' }))],
    ['a key certified for data tokens', () => token(certificate({ purpose: 'data' }))],
    ['an admin token by a certified key', () => token(certificate(), { kind: 'admin', sub: 'mallory' })],
    ['a join token by a certified key', () => token(certificate(), { kind: 'joiner', sub: 'x', token_id: 'x' })],
    ['an unknown purpose', () => token(certificate({ purpose: 'admin' }))],
    ['an expired certificate', () => token(certificate({ iat: nowS - 120, exp: nowS - 1 }))],
    ['a certificate without an end', () => token(certificate({ exp: undefined }))],
    ['a certificate by a stranger', () => token(certificate({}, {}, generateSigningKey()))],
    ['a certificate by its own key', () => token(certificate({}, {}, mine))],
    [
      'a certificate by a certified key',
      () => token(certificate({}, { kid: publicJwk(mine).kid, cert: certificate() }, mine)),
    ],
    ['a certificate that names no root', () => token(certificate({}, { kid: 'nobody' }))],
    [
      'a root token in the place of a certificate',
      () => token(jws({ alg: 'ES256', typ: 'JWT', kid }, good, privateKey)),
    ],
    ['another issuer', () => token(certificate({ iss: 'elsewhere' }))],
    ['a point off the curve', () => token(certificate({ key: { ...good.key, y: x } }))],
    [
      'a private key in it',
      () =>
        token(
          certificate({
            key: createPrivateKey(mine.export({ format: 'pem', type: 'pkcs8' })).export({ format: 'jwk' }),
            exp: nowS - 5,
          }),
        ),
    ],
    ['a token by another key than the certified', () => token(certificate(), nodeClaims, generateSigningKey())],
    ['a certificate that is no text', () => token({ nested: true })],
    ['an empty certificate', () => token('')],
    ['a certificate far too long', () => token(`${certificate()}${'A'.repeat(4000)}`)],
    ['a certificate as a token', () => certificate(nodeClaims)],
  ])('refused: %s', async (_name, made) => {
    expect(await authority.verify(made())).toMatchObject({ ok: false, error: { code: 'TOKEN_INVALID' } });
  });

  test('a remembered certificate ends when it said it would', async () => {
    const later = new ManualClock(clock.wallMs());
    const verifier = createTokenAuthority({ clock: later, root });
    const long = token(certificate(), { ...nodeClaims, exp: nowS + 600 });
    expect(await verifier.verify(long)).toMatchObject({ ok: true });
    later.advance(61_000);
    expect(await verifier.verify(long)).toMatchObject({ ok: false });
  });

  test('of a root that is honoured no more: refused', async () => {
    const issued = await authority.issue(NODE, DAY_MS);
    expect(certificateOf(issued)).toMatch(/^ey/);
    const successor = generateSigningKey();
    const of = (honoured: readonly KeyObject[]) =>
      createTokenAuthority({ clock, root: createLocalRootSigner({ privateKey: successor, honoured }) });
    expect(await of([privateKey]).verify(issued)).toMatchObject({ ok: true });
    expect(await of([]).verify(issued)).toMatchObject({ ok: false });
  });
});
