/**
 * Binary search over sorted keys without following a pointer for each comparison: beside the keys, which lie scattered in
 * memory, it keeps a number of each one's first units behind their common prefix. Of a million keys a search then misses
 * the processor's cache a few times instead of twenty.
 */

/** Units in a code: 6 of 8 bits are 48 bits, which a double holds exactly. */
const UNITS = 6;
const UNIT_MAX = 255;

export class KeyIndex {
  private codes = new Float64Array(0);
  /** Common prefix of all keys but the first, which may be '' (the start of the key space). */
  private prefix = '';
  private stale = true;

  /** To be called after every change of the keys. */
  changed(): void {
    this.stale = true;
  }

  /** Index of the last of the first `count` sorted `keys` that is <= `key`, given that the first one is; -1 if there are none. */
  search(keys: readonly string[], count: number, key: string): number {
    if (this.stale) this.rebuild(keys, count);
    if (count < 2) return count - 1;
    // Without the prefix the key is below all keys that have it, or above them all.
    if (!key.startsWith(this.prefix)) return key < (keys[1] as string) ? 0 : count - 1;
    const code = codeOf(key, this.prefix.length);
    const { codes } = this;
    let low = 1;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = codes[middle] as number;
      // Codes that differ decide; equal ones say nothing.
      if (other < code || (other === code && (keys[middle] as string) <= key)) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  private rebuild(keys: readonly string[], count: number): void {
    this.prefix = count < 2 ? '' : commonPrefix(keys[1] as string, keys[count - 1] as string);
    // A quarter of room, so that one more key does not mean a new array.
    if (this.codes.length < count) this.codes = new Float64Array(count + (count >> 2));
    for (let i = 1; i < count; i++) this.codes[i] = codeOf(keys[i] as string, this.prefix.length);
    this.stale = false;
  }
}

/**
 * A number of the units from `from` on that never contradicts the order of keys: a smaller code means a smaller key. Units
 * above 255 count as 255 and end the code.
 */
function codeOf(key: string, from: number): number {
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

function commonPrefix(left: string, right: string): string {
  let length = 0;
  while (length < left.length && length < right.length && left[length] === right[length]) length++;
  return left.slice(0, length);
}
