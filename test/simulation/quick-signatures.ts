import crypto from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

/**
 * Signatures that cost a hash: what is signed and checked stays as it is, and a signature is good for its key and its data alone, but
 * whoever knows a public key could make one. Nobody in a simulation forges any. Runs in jest, all other suites and real processes have ES256.
 * To be called once by a program that simulates, before it begins.
 */
export function useQuickSignatures(): void {
  const real = { createPublicKey: crypto.createPublicKey };
  const known = new Map<string, KeyObject>();

  Object.assign(crypto, {
    createPublicKey: (key: Parameters<typeof real.createPublicKey>[0]) => {
      if (!isJwk(key)) return real.createPublicKey(key);
      const text = JSON.stringify(key);
      const before = known.get(text);
      if (before !== undefined) return before;
      // Those of earlier seeds are never asked for again.
      if (known.size >= KEYS_KNOWN_MAX) known.clear();
      const made = real.createPublicKey(key);
      known.set(text, made);
      return made;
    },

    // ES256 as signing-key.ts and the data node call it: r || s.
    sign: (_algorithm: string, data: Buffer, { key }: { readonly key: KeyObject }) => signature(key, textOf(data)),
    verify: (_algorithm: string, data: Buffer, { key }: { readonly key: KeyObject }, given: Buffer) =>
      signature(key, textOf(data)).equals(given),

    // As jsonwebtoken calls them: one update with text; DER in base64.
    createSign: () => {
      let text = '';
      const signer = {
        update: (data: string) => {
          text += data;
          return signer;
        },
        sign: (key: KeyObject) => derOf(signature(key, text)).toString('base64'),
      };
      return signer;
    },
    createVerify: () => {
      let text = '';
      const verifier = {
        update: (data: string) => {
          text += data;
          return verifier;
        },
        verify: (key: KeyObject, given: string) => derOf(signature(key, text)).toString('base64') === given,
      };
      return verifier;
    },
  });
  syncBuiltinESMExports();
}

const KEYS_KNOWN_MAX = 4_096;
const COORDINATE_BYTES = 32;
/** A sequence of two integers of 32 bytes each (ITU-T X.690). */
const DER_HEAD = Buffer.from([0x30, 2 * (COORDINATE_BYTES + 2)]);
const INTEGER_HEAD = Buffer.from([0x02, COORDINATE_BYTES]);

const isJwk = (key: unknown): key is { key: object; format: 'jwk' } =>
  typeof key === 'object' && key !== null && 'format' in key && key.format === 'jwk';

const textOf = (data: Uint8Array): string => Buffer.from(data.buffer, data.byteOffset, data.length).toString('latin1');

/** 64 bytes, as r || s of ES256 are. */
function signature(key: KeyObject, text: string): Buffer {
  const half = crypto.hash('sha256', `${nameOf(key)} ${text}`, 'buffer');
  // Positive and without leading zeros: each half has one form in DER.
  half[0] = 1;
  return Buffer.concat([half, half]);
}

const derOf = (rs: Buffer): Buffer =>
  Buffer.concat([
    ...[DER_HEAD, INTEGER_HEAD, rs.subarray(0, COORDINATE_BYTES)],
    ...[INTEGER_HEAD, rs.subarray(COORDINATE_BYTES)],
  ]);

const names = new WeakMap<KeyObject, string>();

/** The same for both halves of a key. */
function nameOf(key: KeyObject): string {
  const before = names.get(key);
  if (before !== undefined) return before;
  const name = (key.type === 'private' ? crypto.createPublicKey(key) : key).export({ format: 'jwk' }).x ?? '';
  names.set(key, name);
  return name;
}
