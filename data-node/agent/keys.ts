import { createPublicKey, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import canonicalize from 'canonicalize';

/** Root keys of the control plane, as registration hands them out (JWKS). All crypto here is synchronous. */
export interface KeyRing {
  readonly keys: readonly { readonly kid: string | null; readonly key: KeyObject }[];
}

/** Keys taken from one JWKS: the signing key, its successor and predecessor, with room to spare. */
const KEYS_MAX = 16;

/** Reads a JWKS. Entries that are no P-256 public key are left out. */
export function keyRing(jwks: { readonly keys: readonly Readonly<Record<string, string>>[] }): KeyRing {
  const keys: { kid: string | null; key: KeyObject }[] = [];
  for (const jwk of jwks.keys.slice(0, KEYS_MAX)) {
    if (jwk['kty'] !== 'EC' || jwk['crv'] !== 'P-256') continue;
    try {
      // Only the public members are handed on: a ring never holds a private key.
      const publicPart = { kty: 'EC', crv: 'P-256', x: jwk['x'] ?? '', y: jwk['y'] ?? '' };
      keys.push({ kid: jwk['kid'] ?? null, key: createPublicKey({ key: publicPart, format: 'jwk' }) });
    } catch {
      continue; // not a point on the curve
    }
  }
  return { keys };
}

/** Verifies `signature` (ES256, base64url of r || s) over the canonical JSON (RFC 8785) of `document`. */
export function verifyDocument(key: KeyObject, document: unknown, signature: string): boolean {
  const text = canonicalize(document);
  if (text === undefined) return false;
  const data = Buffer.from(text);
  const bytes = Buffer.from(signature, 'base64url');
  return verify('sha256', data, { key, dsaEncoding: 'ieee-p1363' }, bytes);
}
