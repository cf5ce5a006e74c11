import { createPublicKey, verify } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { createLocalRootSigner } from '../../shared/adapters/local-root-signer.ts';
import { createProcessKeys } from '../../shared/adapters/process-keys.ts';
import { generateSigningKey, publicJwk } from '../../shared/adapters/signing-key.ts';
import { CERTIFICATE_TYPE, certificateSchema } from '../../shared/contracts/certificates.ts';
import type { CertificatePurpose } from '../../shared/contracts/certificates.ts';
import { SignerError } from '../../shared/ports.ts';
import type { RootSigner } from '../../shared/ports.ts';
import { ManualClock } from '../support/environment.ts';

/** Keys that a process makes for itself: what the root certifies, how long they sign, when they are renewed. */
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

const rootKey = generateSigningKey();
let clock: ManualClock;
/** How often the root was asked to sign, and why it does not. */
let root: RootSigner & { asked: number; fails: Error | null };
beforeEach(() => {
  clock = new ManualClock();
  const local = createLocalRootSigner({ privateKey: rootKey });
  root = {
    asked: 0,
    fails: null,
    sign: (data) => {
      root.asked++;
      return root.fails === null ? local.sign(data) : Promise.reject(root.fails);
    },
    publicKeys: () => local.publicKeys(),
  };
});
const keys = () => createProcessKeys({ root, clock });

test.each<[CertificatePurpose, number]>([
  ['node', 25],
  ['data', 25],
  ['command', 2],
])('a key for %s: certified for an hour and for the life of what it signs', async (purpose, hours) => {
  const key = await keys().certified(purpose);
  const nowS = Math.floor(clock.wallMs() / 1000);
  const { header, payload } = jwt.verify(key.certificate, createPublicKey(rootKey), {
    clockTimestamp: nowS,
    complete: true,
  });
  expect(header).toEqual({ alg: 'ES256', typ: CERTIFICATE_TYPE, kid: publicJwk(rootKey).kid });
  const { key: certified, ...claims } = certificateSchema.parse(payload);
  expect(claims).toEqual({ iss: 'shardkeeper', purpose, iat: nowS, exp: nowS + hours * 3600 });
  const publicKey = createPublicKey({ key: certified, format: 'jwk' });
  const data = Buffer.from('signed');
  expect(verify('sha256', data, { key: publicKey, dsaEncoding: 'ieee-p1363' }, key.sign(data))).toBe(true);
  expect(key.kid).not.toBe(header.kid);
});

test('the root is asked once for a purpose, however many ask at once', async () => {
  const process = keys();
  const all = await Promise.all([1, 2, 3].map(() => process.certified('node')));
  expect(new Set(all.map(({ kid }) => kid)).size).toBe(1);
  expect(await process.certified('node')).toBe(all[0]);
  expect(root.asked).toBe(1);
  expect((await process.certified('data')).kid).not.toBe(all[0]!.kid);
  expect(root.asked).toBe(2);
});

describe('renewal', () => {
  test('begins at half an hour', async () => {
    const process = keys();
    const first = await process.certified('node');
    clock.advance(30 * MINUTE_MS - 1);
    expect(await process.certified('node')).toBe(first);
    clock.advance(1);
    const second = await process.certified('node');
    expect(second).not.toBe(first);
    expect(await process.certified('node')).toBe(second);
    expect(root.asked).toBe(2);
  });

  test('is tried every ten seconds while the root is away; the key signs on to the end of its hour', async () => {
    const process = keys();
    const first = await process.certified('node');
    root.fails = new SignerError('KMS is away');
    clock.advance(30 * MINUTE_MS);
    for (let call = 0; call < 3; call++) expect(await process.certified('node')).toBe(first);
    expect(root.asked).toBe(2);
    clock.advance(9_999);
    expect(await process.certified('node')).toBe(first);
    expect(root.asked).toBe(2);
    clock.advance(1);
    expect(await process.certified('node')).toBe(first);
    expect(root.asked).toBe(3);
    clock.advance(30 * MINUTE_MS - 10_000 - 1);
    expect(await process.certified('node')).toBe(first);
    clock.advance(1);
    await expect(process.certified('node')).rejects.toThrow('KMS is away');
    await expect(process.certified('node')).rejects.toThrow('KMS is away');
    root.fails = null;
    expect(await process.certified('node')).not.toBe(first);
  });

  test('that fails for another reason than the root is told', async () => {
    const process = keys();
    await process.certified('node');
    root.fails = new TypeError('a mistake');
    clock.advance(31 * MINUTE_MS);
    await expect(process.certified('node')).rejects.toThrow('a mistake');
  });

  test('is asked for once by many; meanwhile the others sign with the key that is there', async () => {
    const process = keys();
    const first = await process.certified('node');
    clock.advance(31 * MINUTE_MS);
    const [renewed, ...others] = await Promise.all([1, 2, 3].map(() => process.certified('node')));
    expect(renewed).not.toBe(first);
    expect(others).toEqual([first, first]);
    expect(root.asked).toBe(2);
    expect(await process.certified('node')).toBe(renewed);
  });

  test('does not wait for a clock that was set back', async () => {
    const process = keys();
    const first = await process.certified('node');
    expect(await process.certified('node')).toBe(first);
    clock.advance(-1);
    expect(await process.certified('node')).not.toBe(first);
  });

  test('of one purpose does not put off that of another', async () => {
    const process = keys();
    await process.certified('node');
    await process.certified('data');
    root.fails = new SignerError('KMS is away');
    clock.advance(HOUR_MS / 2);
    await process.certified('node');
    await process.certified('data');
    expect(root.asked).toBe(4);
  });
});

test('a process whose root could not sign asks again', async () => {
  const process = keys();
  root.fails = new SignerError('KMS is away');
  await expect(process.certified('node')).rejects.toThrow('KMS is away');
  root.fails = null;
  expect((await process.certified('node')).certificate).toMatch(/^ey/);
});

test('a root without a key certifies nothing', async () => {
  root.publicKeys = () => Promise.resolve([]);
  await expect(keys().certified('node')).rejects.toThrow('a root has a key that signs');
});
