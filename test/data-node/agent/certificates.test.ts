import { createPublicKey } from 'node:crypto';
import { Certificates } from '../../../data-node/agent/certificates.ts';
import type { KeyRing } from '../../../data-node/agent/keys.ts';
import { generateSigningKey } from '../../../shared/adapters/signing-key.ts';
import { CERTIFICATE_CHARS_MAX } from '../../../shared/contracts/certificates.ts';
import { certifiedKeys } from '../../support/certificates.ts';

/** What a node believes of a certificate: root -> certificate, for as long as it says. */

const NOW_MS = Date.UTC(2026, 10, 20, 20);
const nowS = NOW_MS / 1000;
const { root, certified, certificate, certificateOf } = certifiedKeys(() => nowS);

/** A ring that counts how often its keys are asked for: each time a certificate is verified anew. */
function countedRing(...roots: readonly (typeof root)[]): KeyRing & { asked: number } {
  const keys = roots.map((key, index) => ({ kid: `k${index}`, key: createPublicKey(key) }));
  return {
    asked: 0,
    get keys() {
      this.asked++;
      return keys;
    },
  };
}
const believing = (ring: KeyRing): Certificates => {
  const certificates = new Certificates();
  certificates.useKeys(ring);
  return certificates;
};

test('the certified key, its purpose and its end, to the millisecond', () => {
  const certificates = believing(countedRing(root));
  const text = certificate({ purpose: 'command' });
  const found = certificates.verify(text, NOW_MS);
  expect(found).toMatchObject({ purpose: 'command', expiresAtMs: NOW_MS + 60_000 });
  expect(found?.key.export({ format: 'jwk' })).toMatchObject({ x: certified.x, y: certified.y });
  expect(certificates.verify(text, NOW_MS + 59_999)).not.toBeNull();
  expect(certificates.verify(text, NOW_MS + 60_000)).toBeNull();
  expect(believing(countedRing(root)).verify(text, NOW_MS + 60_000)).toBeNull();
});

test('is verified once, and anew when it has ended', () => {
  const ring = countedRing(root);
  const certificates = believing(ring);
  const text = certificate();
  for (let time = 0; time < 5; time++) expect(certificates.verify(text, NOW_MS + time)).not.toBeNull();
  expect(ring.asked).toBe(1);
  expect(certificates.verify(text, NOW_MS + 60_000)).toBeNull();
  expect(certificates.verify(text, NOW_MS)).not.toBeNull(); // a clock that was set back
  expect(ring.asked).toBe(2);
});

test.each<[string, () => string]>([
  ['by a stranger', () => certificate({}, {}, generateSigningKey())],
  ['that is not signed', () => `${certificate({}, { alg: 'none' }).split('.').slice(0, 2).join('.')}.`],
  ['that is no certificate', () => certificate({}, { typ: 'JWT' })],
  ['of another issuer', () => certificate({ iss: 'elsewhere' })],
  ['for a purpose that there is not', () => certificate({ purpose: 'admin' })],
  ['without an end', () => certificate({ exp: undefined })],
  ['of a point off the curve', () => certificate({ key: { kty: 'EC', crv: 'P-256', x: certified.x, y: certified.x } })],
  ['that is no token at all', () => 'nonsense'],
  ['that is empty', () => ''],
])('a certificate %s certifies nothing', (_what, text) => {
  expect(believing(countedRing(root)).verify(text(), NOW_MS)).toBeNull();
});

test('any root of the ring may have signed; without one nothing is believed', () => {
  expect(believing(countedRing(generateSigningKey(), root)).verify(certificate(), NOW_MS)).not.toBeNull();
  expect(believing(countedRing()).verify(certificate(), NOW_MS)).toBeNull();
  expect(new Certificates().verify(certificate(), NOW_MS)).toBeNull();
});

test('what a root certified that is honoured no more is forgotten', () => {
  const certificates = believing(countedRing(root));
  const text = certificate();
  expect(certificates.verify(text, NOW_MS)).not.toBeNull();
  certificates.useKeys(countedRing(generateSigningKey()));
  expect(certificates.verify(text, NOW_MS)).toBeNull();
});

test('one longer than any certificate is not read', () => {
  const ring = countedRing(root);
  expect(believing(ring).verify(certificateOf(CERTIFICATE_CHARS_MAX), NOW_MS)).not.toBeNull();
  expect(believing(ring).verify(certificateOf(CERTIFICATE_CHARS_MAX + 1), NOW_MS)).toBeNull();
  expect(ring.asked).toBe(1);
});
