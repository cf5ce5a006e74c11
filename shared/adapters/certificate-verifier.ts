import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import {
  CERTIFICATE_CHARS_MAX,
  CERTIFICATE_ISSUER,
  CERTIFICATE_TYPE,
  certificateSchema,
} from '../contracts/certificates.ts';
import type { CertificatePurpose } from '../contracts/certificates.ts';
import { BoundedMap } from '../domain/bounded-map.ts';
import type { Clock } from '../domain/environment.ts';

/** Certificates remembered at a time: those of the processes of an hour or two. The oldest is forgotten beyond it. */
const CERTIFICATES_MAX = 1024;

export interface CertifiedPublicKey {
  readonly key: KeyObject;
  readonly purpose: CertificatePurpose;
  readonly expiresAtS: number;
}

export interface CertificateVerifier {
  /** The certified key; undefined if the certificate is not of a root key, no certificate at all, or over. */
  verify(certificate: string, roots: ReadonlyMap<string, KeyObject>): CertifiedPublicKey | undefined;
}

export interface CertificateVerifierOptions {
  readonly clock: Clock;
  /** Certificates remembered at a time; CERTIFICATES_MAX if left out. */
  readonly rememberedMax?: number;
}

/** Checks root -> certificate. What was verified is remembered: a signature of the root costs about 80 us to verify. */
export function createCertificateVerifier({
  clock,
  rememberedMax = CERTIFICATES_MAX,
}: CertificateVerifierOptions): CertificateVerifier {
  const verified = new BoundedMap<string, CertifiedPublicKey>(rememberedMax);
  return {
    verify: (certificate, roots) => {
      const nowS = Math.floor(clock.wallMs() / 1000);
      const known = verified.get(certificate) ?? verifyAnew(certificate, roots, nowS);
      if (known === undefined) return undefined;
      if (known.expiresAtS <= nowS) {
        verified.delete(certificate);
        return undefined;
      }
      verified.set(certificate, known);
      return known;
    },
  };
}

function verifyAnew(
  certificate: string,
  roots: ReadonlyMap<string, KeyObject>,
  nowS: number,
): CertifiedPublicKey | undefined {
  if (certificate.length > CERTIFICATE_CHARS_MAX) return undefined;
  try {
    const root = roots.get(jwt.decode(certificate, { complete: true })?.header.kid ?? '');
    if (root === undefined) return undefined;
    const { header, payload } = jwt.verify(certificate, root, {
      algorithms: ['ES256'],
      issuer: CERTIFICATE_ISSUER,
      clockTimestamp: nowS,
      complete: true,
    });
    if (header.typ !== CERTIFICATE_TYPE) return undefined;
    const { key, purpose, exp } = certificateSchema.parse(payload);
    return { key: createPublicKey({ key, format: 'jwk' }), purpose, expiresAtS: exp };
  } catch {
    return undefined; // malformed, expired, badly signed, or not a point on the curve
  }
}
