/** Numbers that stand for the first units of keys, so that a search compares what lies side by side in memory. */

/** Units in a code: 6 of 8 bits are 48 bits, which a double holds exactly. */
const UNITS = 6;
const UNIT_MAX = 255;

/**
 * A number of the units from `from` on that never contradicts the order of keys that are equal before `from`: a smaller code
 * means a smaller key. Units above 255 count as 255 and end the code.
 */
export function codeOf(key: string, from: number): number {
  if (key.length >= from + UNITS) {
    const a = key.charCodeAt(from);
    const b = key.charCodeAt(from + 1);
    const c = key.charCodeAt(from + 2);
    const d = key.charCodeAt(from + 3);
    const e = key.charCodeAt(from + 4);
    const f = key.charCodeAt(from + 5);
    // Nearly always; the same as below, without a loop.
    if ((a | b | c | d | e | f) < UNIT_MAX) return ((a << 16) | (b << 8) | c) * 2 ** 24 + ((d << 16) | (e << 8) | f);
  }
  let code = 0;
  let i = 0;
  for (; i < UNITS && from + i < key.length; i++) {
    const unit = key.charCodeAt(from + i);
    if (unit >= UNIT_MAX) {
      code = code * 256 + UNIT_MAX;
      i++;
      break;
    }
    code = code * 256 + unit;
  }
  for (; i < UNITS; i++) code *= 256;
  return code;
}

/** Units in a short code, an unsigned integer of 32 bits. */
const SHORT_UNITS = 4;

/** Like `codeOf`, in half the room: for keys that differ early behind `from`. */
export function shortCodeOf(key: string, from: number): number {
  let code = 0;
  let i = 0;
  for (; i < SHORT_UNITS && from + i < key.length; i++) {
    const unit = key.charCodeAt(from + i);
    if (unit >= UNIT_MAX) {
      code = (code << 8) | UNIT_MAX;
      i++;
      break;
    }
    code = (code << 8) | unit;
  }
  return i === 0 ? 0 : (code << (8 * (SHORT_UNITS - i))) >>> 0;
}

export function commonPrefixLength(left: string, right: string): number {
  const most = Math.min(left.length, right.length);
  let length = 0;
  while (length < most && left.charCodeAt(length) === right.charCodeAt(length)) length++;
  return length;
}

/** Index of the last of the sorted `keys` in [from, to) that is <= `key`; from - 1 if none is. */
export function lastAtOrBelow(keys: readonly string[], from: number, to: number, key: string): number {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) <= key) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
