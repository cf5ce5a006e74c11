import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import jsonwebtoken from 'jsonwebtoken';
import {
  CERTIFICATE_CHARS_MAX,
  CERTIFICATE_ISSUER,
  CERTIFICATE_TYPE,
  certificateSchema,
} from '../../shared/contracts/certificates.ts';
import type { CertificatePurpose } from '../../shared/contracts/certificates.ts';
import { BoundedMap } from '../../shared/domain/bounded-map.ts';
import type { KeyRing } from './keys.ts';

/** Certificates remembered at a time: those of the control plane's processes of an hour or two. The oldest is forgotten beyond it. */
const CERTIFICATES_MAX = 512;

interface Certified {
  readonly key: KeyObject;
  readonly purpose: CertificatePurpose;
  readonly expiresAtMs: number;
}

/**
 * Keys that the control plane's root certified (contracts/certificates.ts). A node holds only the root's public keys; what was
 * verified is remembered, as every command and credential brings its certificate along.
 */
export class Certificates {
  private readonly verified = new BoundedMap<string, Certified>(CERTIFICATES_MAX);
  private ring: KeyRing = { keys: [] };

  /** Takes the root keys of a registration; what was verified by others is forgotten. */
  useKeys(ring: KeyRing): void {
    this.ring = ring;
    this.verified.clear();
  }

  /** The certified key, if the certificate is the root's and lasts at `nowMs` (wall clock); else null. */
  verify(certificate: string, nowMs: number): Certified | null {
    const known = this.verified.get(certificate) ?? this.verifyAnew(certificate, nowMs);
    if (known === null) return null;
    if (known.expiresAtMs > nowMs) return known;
    this.verified.delete(certificate);
    return null;
  }

  private verifyAnew(certificate: string, nowMs: number): Certified | null {
    if (certificate.length > CERTIFICATE_CHARS_MAX) return null;
    for (const { key } of this.ring.keys) {
      const certified = read(certificate, key, nowMs);
      if (certified === null) continue;
      this.verified.set(certificate, certified);
      return certified;
    }
    return null;
  }
}

function read(certificate: string, root: KeyObject, nowMs: number): Certified | null {
  try {
    const { header, payload } = jsonwebtoken.verify(certificate, root, {
      algorithms: ['ES256'],
      issuer: CERTIFICATE_ISSUER,
      clockTimestamp: Math.floor(nowMs / 1000),
      complete: true,
    });
    if (header.typ !== CERTIFICATE_TYPE) return null;
    const { key, purpose, exp } = certificateSchema.parse(payload);
    return { key: createPublicKey({ key, format: 'jwk' }), purpose, expiresAtMs: exp * 1000 };
  } catch {
    return null; // malformed, expired, of another key, or not a point on the curve
  }
}
