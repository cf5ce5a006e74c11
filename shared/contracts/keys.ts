/** The key codec, for clients that know contracts only. */
export { compareKeys, decodeKey, encodeKey, KEY_BYTES_MAX, KEY_SPACE_START, rangeContains } from '../domain/keys.ts';
export type { KeyError, KeyRange, KeyType } from '../domain/keys.ts';
export type { EncodedKey } from '../domain/ids.ts';
