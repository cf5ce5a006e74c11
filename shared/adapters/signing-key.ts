import { createECDH, createHash, createPrivateKey, createPublicKey, generateKeyPairSync, hkdfSync } from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';
import canonicalize from 'canonicalize';
import { invariant } from '../domain/result.ts';

/** The control plane's ES256 key: kept as PEM, given as JWK, or derived from a random secret. */

/** NIST P-256 (FIPS 186-4, D.1.2.3): order of the base point. */
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
/** Bytes drawn for a private scalar: 64 bits more than the order, so that the remainder is unbiased (FIPS 186-4, B.4.1). */
const SCALAR_BYTES = 40;
/** Characters that a secret must have at least: 43 of base64 carry 256 bits. */
const SECRET_CHARS_MIN = 32;
const DERIVATION_INFO = 'shardkeeper control plane ES256 v1';

/** A new random key. */
export function generateSigningKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

/** Reads a private key from PEM (PKCS #8) or JWK text. Throws if it is none or not on P-256. */
export function parseSigningKey(text: string): KeyObject {
  const key = text.trimStart().startsWith('{')
    ? createPrivateKey({ key: JSON.parse(text) as JsonWebKey, format: 'jwk' })
    : createPrivateKey(text);
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw new Error('the signing key is not an EC key on P-256');
  return key;
}

/**
 * The key that belongs to a random secret (>= 32 characters): the same secret gives the same key, in every function that may
 * read it. HKDF-SHA256, then the scalar as in FIPS 186-4 B.4.1.
 */
export function deriveSigningKey(secret: string): KeyObject {
  invariant(secret.length >= SECRET_CHARS_MIN, `a signing secret has at least ${SECRET_CHARS_MIN} characters`);
  const bytes = Buffer.from(hkdfSync('sha256', secret, '', DERIVATION_INFO, SCALAR_BYTES));
  const scalar = (BigInt(`0x${bytes.toString('hex')}`) % (P256_ORDER - 1n)) + 1n;
  const d = Buffer.from(scalar.toString(16).padStart(64, '0'), 'hex');
  const ecdh = createECDH('prime256v1');
  ecdh.setPrivateKey(d);
  const point = ecdh.getPublicKey();
  const text = (part: Buffer): string => part.toString('base64url');
  const jwk = { kty: 'EC', crv: 'P-256', d: text(d), x: text(point.subarray(1, 33)), y: text(point.subarray(33)) };
  return createPrivateKey({ key: jwk, format: 'jwk' });
}

export const signingKeyToPem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }) as string;

/** A public key as JWKS entry; `kid` is its thumbprint (RFC 7638). */
export interface PublicJwk {
  readonly kty: 'EC';
  readonly crv: 'P-256';
  readonly x: string;
  readonly y: string;
  readonly kid: string;
  readonly alg: 'ES256';
  readonly use: 'sig';
}

/** The public half of an EC key on P-256. */
export function publicJwk(key: KeyObject): PublicJwk {
  const { x, y } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' });
  invariant(x !== undefined && y !== undefined, 'an EC key exports as JWK with x and y');
  const members = { crv: 'P-256', kty: 'EC', x, y } as const;
  const kid = createHash('sha256')
    .update(canonicalize(members) ?? '')
    .digest('base64url');
  return { ...members, kid, alg: 'ES256', use: 'sig' };
}
