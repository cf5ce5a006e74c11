import type { KeyObject } from 'node:crypto';
import { createPublicKey } from 'node:crypto';
import { createCertificateVerifier } from '../../shared/adapters/certificate-verifier.ts';
import { CERTIFICATE_CHARS_MAX } from '../../shared/contracts/certificates.ts';
import { certifiedKeys } from '../support/certificates.ts';
import { ManualClock } from '../support/environment.ts';

/** Root -> certificate: what a certificate proves, how long, and how many are remembered. */

const clock = new ManualClock();
const nowS = (): number => Math.floor(clock.wallMs() / 1000);
const { root, kid, certified, certificate, certificateOf } = certifiedKeys(nowS);

/** Root keys that count how often they are asked for: each time a certificate is verified anew. */
class CountedRoots extends Map<string, KeyObject> {
  asked = 0;
  override get(id: string): KeyObject | undefined {
    this.asked++;
    return super.get(id);
  }
}
const rootsOf = (): CountedRoots => new CountedRoots([[kid, createPublicKey(root)]]);

test('the key that the root certified, for its purpose, to the second in which the certificate ends', () => {
  const verifier = createCertificateVerifier({ clock });
  const exp = nowS() + 60;
  const text = certificate({ purpose: 'command', exp });
  const found = verifier.verify(text, rootsOf());
  expect(found).toMatchObject({ purpose: 'command', expiresAtS: exp });
  expect(found?.key.export({ format: 'jwk' })).toMatchObject({ x: certified.x, y: certified.y });
  clock.advance(59_999);
  expect(verifier.verify(text, rootsOf())).toBeDefined();
  clock.advance(1);
  expect(verifier.verify(text, rootsOf())).toBeUndefined();
  expect(createCertificateVerifier({ clock }).verify(text, rootsOf())).toBeUndefined();
});

test.each<[string, () => string]>([
  ['that names no root', () => certificate({}, { kid: undefined })],
  ['that names another root', () => certificate({}, { kid: 'nobody' })],
  ['that is not signed', () => `${certificate({}, { alg: 'none' }).split('.').slice(0, 2).join('.')}.`],
  ['that is no certificate', () => certificate({}, { typ: 'JWT' })],
  ['of another issuer', () => certificate({ iss: 'elsewhere' })],
  ['for a purpose that there is not', () => certificate({ purpose: 'admin' })],
  ['that is no token at all', () => 'nonsense'],
  ['that is empty', () => ''],
])('a certificate %s certifies nothing', (_what, text) => {
  const verifier = createCertificateVerifier({ clock });
  expect(verifier.verify(text(), rootsOf())).toBeUndefined();
  expect(verifier.verify(certificate(), rootsOf())).toBeDefined();
});

test('a certificate of the greatest length counts; a longer one is not read, though the root signed it', () => {
  const verifier = createCertificateVerifier({ clock });
  expect(verifier.verify(certificateOf(CERTIFICATE_CHARS_MAX), rootsOf())).toBeDefined();
  const roots = rootsOf();
  expect(verifier.verify(certificateOf(CERTIFICATE_CHARS_MAX + 1), roots)).toBeUndefined();
  expect(roots.asked).toBe(0);
});

describe('what was verified', () => {
  test('is not verified again', () => {
    const roots = rootsOf();
    const verifier = createCertificateVerifier({ clock });
    const texts = Array.from({ length: 20 }, (_, n) => certificate({ n }));
    for (let round = 0; round < 3; round++)
      for (const text of texts) expect(verifier.verify(text, roots)).toBeDefined();
    expect(roots.asked).toBe(20);
  });

  test('is remembered up to a bound; then the oldest is forgotten first', () => {
    const roots = rootsOf();
    const verifier = createCertificateVerifier({ clock, rememberedMax: 2 });
    const [first, second, third] = [certificate({ n: 1 }), certificate({ n: 2 }), certificate({ n: 3 })];
    for (const text of [first, second, first, third, second, third]) verifier.verify(text, roots);
    expect(roots.asked).toBe(3);
    verifier.verify(first, roots); // anew, in the place of the second
    verifier.verify(third, roots);
    expect(roots.asked).toBe(4);
    verifier.verify(second, roots);
    expect(roots.asked).toBe(5);
  });

  test('and has ended makes room', () => {
    const roots = rootsOf();
    const verifier = createCertificateVerifier({ clock, rememberedMax: 2 });
    const [lasting, ending, next] = [certificate(), certificate({ exp: nowS() + 10 }), certificate({ n: 3 })];
    verifier.verify(lasting, roots);
    verifier.verify(ending, roots);
    clock.advance(10_000);
    expect(verifier.verify(ending, roots)).toBeUndefined();
    verifier.verify(next, roots);
    expect(roots.asked).toBe(3);
    expect(verifier.verify(lasting, roots)).toBeDefined();
    expect(roots.asked).toBe(3);
  });

  test('never counts what was refused', () => {
    const roots = rootsOf();
    const verifier = createCertificateVerifier({ clock, rememberedMax: 1 });
    const good = certificate();
    verifier.verify(good, roots);
    for (let n = 0; n < 3; n++) verifier.verify(certificate({ iss: `elsewhere-${n}` }), roots);
    const asked = roots.asked;
    verifier.verify(good, roots);
    expect(roots.asked).toBe(asked);
  });
});
