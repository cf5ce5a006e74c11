import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';
import canonicalize from 'canonicalize';
import { invariant } from '../domain/result.ts';
import type { PublicJwk } from '../ports.ts';

/** ES256 keys: made, kept as PEM, shown as JWK; compact JWS. */

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

/** Reads the public half from PEM of either half. Throws if it is none or not on P-256. */
export function parsePublicKey(text: string): KeyObject {
  const key = createPublicKey(text);
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('the key is not an EC key on P-256');
  return key;
}

export const signingKeyToPem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }) as string;

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

/** ES256 signature of `data`: r || s, 64 bytes (RFC 7518, 3.4). Synchronous. */
export const signEs256 = (key: KeyObject, data: Uint8Array): Buffer =>
  sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' });

/** `header.payload` of a compact JWS (RFC 7515): what its signature covers. */
export function jwsSigningInput(header: object, payload: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part(header)}.${part(payload)}`;
}

export const jwsOf = (signingInput: string, signature: Uint8Array): string =>
  `${signingInput}.${Buffer.from(signature).toString('base64url')}`;
