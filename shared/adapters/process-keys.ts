import type { KeyObject } from 'node:crypto';
import { CERTIFICATE_ISSUER, CERTIFICATE_TYPE } from '../contracts/certificates.ts';
import type { Certificate, CertificatePurpose } from '../contracts/certificates.ts';
import type { Clock } from '../domain/environment.ts';
import { invariant } from '../domain/result.ts';
import { SignerError } from '../ports.ts';
import type { RootSigner } from '../ports.ts';
import { generateSigningKey, jwsOf, jwsSigningInput, publicJwk, signEs256 } from './signing-key.ts';

/**
 * Keys that this process makes for itself and the root certifies, one for each purpose, made when first needed. So a zone's
 * failover, thousands of commands in a second, asks KMS once for each process, not once for each command.
 *
 * A key signs for an hour at most, and its certificate lasts as long as what it signed last: who steals a process's memory can sign
 * for that purpose alone, until the certificate ends. Renewal is tried from half an hour on; until the hour is over a failed one is
 * no harm, so that KMS may be away for half an hour.
 */
const SIGNS_FOR_MS = 3_600_000;
const RENEWED_AFTER_MS = SIGNS_FOR_MS / 2;
/** Between tries to renew while the present key may still sign. */
const RENEWAL_RETRY_MS = 10_000;

/** The longest life (ms) of what a key of the purpose signs. */
export const SIGNED_LIFETIME_MAX_MS: Readonly<Record<CertificatePurpose, number>> = {
  node: 24 * 3_600_000,
  data: 24 * 3_600_000,
  // A command is checked when it arrives; the hour is for the way to the node and for its clock.
  command: 3_600_000,
};

export interface CertifiedKey {
  readonly kid: string;
  readonly certificate: string;
  /** ES256: r || s. Synchronous. */
  sign(data: Uint8Array): Uint8Array;
}

export interface ProcessKeys {
  /** A key that may sign now. Throws `SignerError` if a new one can't be certified. */
  certified(purpose: CertificatePurpose): Promise<CertifiedKey>;
}

interface Held extends CertifiedKey {
  readonly certifiedAtMs: number;
}

export function createProcessKeys({ root, clock }: { readonly root: RootSigner; readonly clock: Clock }): ProcessKeys {
  const held = new Map<CertificatePurpose, Held>();
  const underWay = new Map<CertificatePurpose, Promise<Held>>();
  const retryAtMs = new Map<CertificatePurpose, number>();

  const certify = async (purpose: CertificatePurpose): Promise<Held> => {
    const [rootKey] = await root.publicKeys();
    invariant(rootKey !== undefined, 'a root has a key that signs');
    const key: KeyObject = generateSigningKey();
    const { kid, kty, crv, x, y } = publicJwk(key);
    const certifiedAtMs = clock.wallMs();
    const iat = Math.floor(certifiedAtMs / 1000);
    const payload: Certificate = {
      iss: CERTIFICATE_ISSUER,
      purpose,
      key: { kty, crv, x, y },
      iat,
      exp: iat + (SIGNS_FOR_MS + SIGNED_LIFETIME_MAX_MS[purpose]) / 1000,
    };
    const input = jwsSigningInput({ alg: 'ES256', typ: CERTIFICATE_TYPE, kid: rootKey.kid }, payload);
    const certificate = jwsOf(input, await root.sign(Buffer.from(input)));
    return { kid, certificate, certifiedAtMs, sign: (data) => signEs256(key, data) };
  };

  const renew = (purpose: CertificatePurpose): Promise<Held> => {
    const running = underWay.get(purpose);
    if (running !== undefined) return running;
    const renewal = certify(purpose)
      .then((key) => {
        held.set(purpose, key);
        return key;
      })
      .finally(() => underWay.delete(purpose));
    underWay.set(purpose, renewal);
    return renewal;
  };

  return {
    certified: async (purpose) => {
      const key = held.get(purpose);
      if (key === undefined) return renew(purpose);
      const nowMs = clock.wallMs();
      const ageMs = nowMs - key.certifiedAtMs;
      // A wall clock that was set back must not keep a key alive.
      if (ageMs < 0 || ageMs >= SIGNS_FOR_MS) return renew(purpose);
      if (ageMs < RENEWED_AFTER_MS || nowMs < (retryAtMs.get(purpose) ?? 0)) return key;
      retryAtMs.set(purpose, nowMs + RENEWAL_RETRY_MS);
      try {
        return await renew(purpose);
      } catch (error) {
        if (error instanceof SignerError) return key;
        throw error;
      }
    },
  };
}
