import { createHmac, createPublicKey, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import canonicalize from 'canonicalize';
import jwt from 'jsonwebtoken';
import { generateSigningKey, parseSigningKey, publicJwk, signingKeyToPem } from '../../shared/adapters/signing-key.ts';
import { createLocalRootSigner } from '../../shared/adapters/local-root-signer.ts';
import { createTokenAuthority } from '../../shared/adapters/token-authority.ts';
import { certificateSchema } from '../../shared/contracts/certificates.ts';
import { incarnation, nodeEpoch, nodeId } from '../../shared/domain/ids.ts';
import type { TokenClaims } from '../../shared/ports.ts';
import { ManualClock } from '../support/environment.ts';

const HOUR_MS = 3_600_000;

describe('signing key', () => {
  test('a key survives PEM and JWK', () => {
    const key = generateSigningKey();
    const jwk = JSON.stringify(key.export({ format: 'jwk' }));
    expect([parseSigningKey(signingKeyToPem(key)), parseSigningKey(jwk)].map((k) => publicJwk(k))).toEqual([
      publicJwk(key),
      publicJwk(key),
    ]);
  });

  test('text that is no key on P-256 is refused', () => {
    expect(() => parseSigningKey('{"kty":"EC"}')).toThrow();
    expect(() => parseSigningKey('nonsense')).toThrow();
  });
});

describe('token authority', () => {
  const clock = new ManualClock();
  const key = generateSigningKey();
  const authorityOf = (privateKey: KeyObject, honoured: readonly KeyObject[] = [], at: ManualClock = clock) =>
    createTokenAuthority({ clock: at, root: createLocalRootSigner({ privateKey, honoured }) });
  const authority = authorityOf(key);
  const node = {
    kind: 'node',
    nodeId: nodeId('node-101'),
    nodeEpoch: nodeEpoch(7),
    incarnation: incarnation('i-1'),
  } as const;

  test.each<[TokenClaims, object]>([
    [
      { kind: 'admin', name: 'ann' },
      { kind: 'admin', name: 'ann' },
    ],
    [
      { kind: 'joiner', tokenId: 'jt-1' },
      { kind: 'joiner', tokenId: 'jt-1' },
    ],
    [node, { ...node, issuedAtMs: clock.wallMs(), expiresAtMs: clock.wallMs() + HOUR_MS }],
  ])('a token says who bears it: %j', async (claims, principal) => {
    const token = await authority.issue(claims, HOUR_MS);
    expect(await authority.verify(token)).toEqual({ ok: true, value: principal });
  });

  test('a data token opens data nodes, not this API', async () => {
    const token = await authority.issue({ kind: 'data', name: 'app', tables: ['cities'], access: 'read' }, HOUR_MS);
    expect(jwt.decode(token)).toMatchObject({
      iss: 'shardkeeper',
      kind: 'data',
      sub: 'app',
      tables: ['cities'],
      access: 'read',
    });
    expect(await authority.verify(token)).toMatchObject({ ok: false, error: { code: 'TOKEN_INVALID' } });
  });

  test('the header names the key by its thumbprint', async () => {
    const token = await authority.issue({ kind: 'admin', name: 'ann' }, HOUR_MS);
    expect(jwt.decode(token, { complete: true })?.header).toMatchObject({ alg: 'ES256', kid: publicJwk(key).kid });
    expect(await authority.publicKeys()).toEqual({ keys: [publicJwk(key)] });
  });

  test('a token ends when it said it would', async () => {
    const later = new ManualClock(clock.wallMs());
    const sameKey = authorityOf(key, [], later);
    const token = await sameKey.issue({ kind: 'admin', name: 'ann' }, 60_000);
    later.advance(59_000);
    expect(await sameKey.verify(token)).toMatchObject({ ok: true });
    later.advance(10_000);
    expect(await sameKey.verify(token)).toMatchObject({ ok: false, error: { code: 'TOKEN_EXPIRED' } });
  });

  test('tokens of a retired key are honoured, tokens of a foreign key are not', async () => {
    const token = await authority.issue({ kind: 'admin', name: 'ann' }, HOUR_MS);
    const successor = generateSigningKey();
    const heir = authorityOf(successor, [key]);
    const stranger = authorityOf(successor);
    expect(await heir.verify(token)).toMatchObject({ ok: true });
    expect(await stranger.verify(token)).toMatchObject({ ok: false, error: { code: 'TOKEN_INVALID' } });
  });

  const nowS = Math.floor(clock.wallMs() / 1000);
  const payload = { iss: 'shardkeeper', kind: 'admin', sub: 'mallory', iat: nowS, exp: nowS + 3600 };
  const kid = publicJwk(key).kid;
  const pem = createPublicKey(key).export({ type: 'spki', format: 'pem' }) as string;
  const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const forged = jwt.sign(payload, generateSigningKey(), { algorithm: 'ES256', keyid: kid });
  const good = jwt.sign(payload, key, { algorithm: 'ES256', keyid: kid });
  const [head = '', , signature = ''] = good.split('.');

  const hmacInput = `${base64({ alg: 'HS256', typ: 'JWT', kid })}.${base64(payload)}`;

  test.each<[string, string]>([
    ['empty', ''],
    ['not a token', 'abc'],
    ['alg none', `${base64({ alg: 'none', typ: 'JWT', kid })}.${base64(payload)}.`],
    [
      'HMAC with the public key as secret',
      `${hmacInput}.${createHmac('sha256', pem).update(hmacInput).digest('base64url')}`,
    ],
    ['HS256 header over our signature', `${base64({ alg: 'HS256', kid })}.${base64(payload)}.${signature}`],
    ['signed by another key under our kid', forged],
    ['payload swapped', `${head}.${base64({ ...payload, sub: 'root' })}.${signature}`],
    ['signature cut', good.slice(0, -4)],
    ['signature missing', good.slice(0, good.lastIndexOf('.') + 1)],
    ['signature in DER', `${good.slice(0, good.lastIndexOf('.'))}.${Buffer.from(pem).toString('base64url')}`],
    ['no kid', jwt.sign(payload, key, { algorithm: 'ES256' })],
    ['kid of nobody', jwt.sign(payload, key, { algorithm: 'ES256', keyid: '../../etc/passwd' })],
    ['other issuer', jwt.sign({ ...payload, iss: 'elsewhere' }, key, { algorithm: 'ES256', keyid: kid })],
    [
      'no expiry',
      jwt.sign({ iss: 'shardkeeper', kind: 'admin', sub: 'x', iat: nowS }, key, { algorithm: 'ES256', keyid: kid }),
    ],
    [
      'no kind',
      jwt.sign({ iss: 'shardkeeper', sub: 'x', iat: nowS, exp: nowS + 60 }, key, { algorithm: 'ES256', keyid: kid }),
    ],
    ['kind of nobody', jwt.sign({ ...payload, kind: 'root' }, key, { algorithm: 'ES256', keyid: kid })],
    ['kind system', jwt.sign({ ...payload, kind: 'system' }, key, { algorithm: 'ES256', keyid: kid })],
    ['not yet valid', jwt.sign({ ...payload, nbf: nowS + 600 }, key, { algorithm: 'ES256', keyid: kid })],
    ['node without epoch', jwt.sign({ ...payload, kind: 'node' }, key, { algorithm: 'ES256', keyid: kid })],
    ['array payload', `${head}.${base64([1, 2])}.${signature}`],
    ['deep header', `${base64({ alg: 'ES256', kid: { kid } })}.${base64(payload)}.${signature}`],
    ['two tokens', `${good}.${good}`],
    ['unicode', '🦊.🦊.🦊'],
  ])('refused: %s', async (_name, token) => {
    expect(await authority.verify(token)).toMatchObject({ ok: false, error: { code: 'TOKEN_INVALID' } });
  });

  test('a command is signed over its canonical form, by the key in its certificate', async () => {
    const command = { b: [2, 1], a: 'x', nested: { z: null, y: 1.5 } };
    const { signature, certificate } = await authority.signCommand(command);
    const text = Buffer.from(canonicalize({ nested: { y: 1.5, z: null }, a: 'x', b: [2, 1] }) ?? '');
    const claims = certificateSchema.parse(jwt.verify(certificate, createPublicKey(key), { clockTimestamp: nowS }));
    expect(claims.purpose).toBe('command');
    const certified = createPublicKey({ key: claims.key, format: 'jwk' });
    const check = (data: Buffer): boolean =>
      verify('sha256', data, { key: certified, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'));
    expect(check(text)).toBe(true);
    expect(check(Buffer.from(text.toString().replace('1.5', '1.6')))).toBe(false);
  });
});
