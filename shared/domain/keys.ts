import { encodedKey } from './ids.ts';
import type { EncodedKey } from './ids.ts';
import { err, ok } from './result.ts';
import type { Result } from './result.ts';

/**
 * Keys and their order. A key is a UTF-8 string of at most 1,000 bytes ordered by bytes, or an int64 shown as a decimal
 * string. The store's encoding keeps the order under byte comparison: strings stand for themselves, an int64 is 16 hex
 * digits of its value plus 2^63. The empty encoded key is the start of every key space; an end of `null` is its end.
 */
export type KeyType = 'string' | 'int64';

export const KEY_BYTES_MAX = 1000;
export const KEY_SPACE_START = encodedKey('');

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const INT64_PATTERN = /^(0|-?[1-9][0-9]{0,18})$/;

export type KeyError =
  | { code: 'KEY_EMPTY' }
  | { code: 'KEY_TOO_LONG'; bytes: number; bytesMax: number }
  | { code: 'KEY_NOT_WELL_FORMED' }
  | { code: 'KEY_NOT_INT64' };

/**
 * Order of two encoded keys: negative, 0 or positive. Compares code points, which is the order of UTF-8 bytes;
 * JavaScript's `<` compares UTF-16 units and differs beyond the BMP.
 */
export function compareKeys(left: EncodedKey, right: EncodedKey): number {
  const shared = Math.min(left.length, right.length);
  for (let i = 0; i < shared; i++) {
    const a = left.charCodeAt(i);
    const b = right.charCodeAt(i);
    if (a === b) continue;
    // Surrogates (0xD800-0xDFFF) stand for code points above every other unit.
    const aSurrogate = a >= 0xd800 && a <= 0xdfff;
    const bSurrogate = b >= 0xd800 && b <= 0xdfff;
    if (aSurrogate !== bSurrogate) return aSurrogate ? 1 : -1;
    return a - b;
  }
  return left.length - right.length;
}

/** Bytes of `text` in UTF-8. */
export function utf8Bytes(text: string): number {
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) bytes += 1;
    else if (unit < 0x800) bytes += 2;
    else if (unit >= 0xd800 && unit <= 0xdbff && i + 1 < text.length) {
      bytes += 4;
      i++;
    } else bytes += 3;
  }
  return bytes;
}

/** Encodes a key as a caller wrote it. Refuses the empty key, lone surrogates, more than 1,000 bytes, non-int64 text. */
export function encodeKey(type: KeyType, key: string): Result<EncodedKey, KeyError> {
  if (type === 'int64') {
    if (!INT64_PATTERN.test(key)) return err({ code: 'KEY_NOT_INT64' });
    const value = BigInt(key);
    if (value < INT64_MIN || value > INT64_MAX) return err({ code: 'KEY_NOT_INT64' });
    return ok(encodedKey((value - INT64_MIN).toString(16).padStart(16, '0')));
  }
  if (key.length === 0) return err({ code: 'KEY_EMPTY' });
  if (!key.isWellFormed()) return err({ code: 'KEY_NOT_WELL_FORMED' });
  const bytes = utf8Bytes(key);
  if (bytes > KEY_BYTES_MAX) return err({ code: 'KEY_TOO_LONG', bytes, bytesMax: KEY_BYTES_MAX });
  return ok(encodedKey(key));
}

/** Inverse of `encodeKey`. The start of the key space decodes to the empty string. */
export function decodeKey(type: KeyType, key: EncodedKey): string {
  if (type === 'string' || key === '') return key;
  return (BigInt(`0x${key}`) + INT64_MIN).toString();
}

/** A key range `[startKey, endKey)`; `endKey` null is the end of the key space. */
export interface KeyRange {
  readonly startKey: EncodedKey;
  readonly endKey: EncodedKey | null;
}

export function rangeContains(range: KeyRange, key: EncodedKey): boolean {
  return compareKeys(key, range.startKey) >= 0 && (range.endKey === null || compareKeys(key, range.endKey) < 0);
}
