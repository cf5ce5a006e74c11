import { codeOf, commonPrefixLength } from './key-codes.ts';

/**
 * A sorted list of keys that is searched without following a pointer for each comparison: beside the keys, which lie scattered
 * in memory, it keeps the code of each one behind their common prefix. It keeps up with changes one at a time, so that a list
 * that grows between searches is not read anew for each.
 */
export class SortedKeys {
  private readonly keys: string[] = [];
  /** Of every key but the first, which may be '' (the start of the key space) and then shares no prefix. */
  private codes = new Float64Array(0);
  private prefix = '';
  /** True if `codes` and `prefix` are to be made anew. */
  private stale = true;

  get length(): number {
    return this.keys.length;
  }

  /** Undefined beyond the ends. */
  at(index: number): string | undefined {
    return this.keys[index];
  }

  /** Index of the last key that is <= `key`; -1 if none is. */
  search(key: string): number {
    const { keys } = this;
    const first = keys[0];
    // The first key is nearly always the start of the key space, which no key is below.
    if (first === undefined || (first !== '' && key < first)) return -1;
    if (this.stale) this.encode();
    const count = keys.length;
    if (count === 1) return 0;
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

  insert(index: number, key: string): void {
    const count = this.keys.length;
    this.keys.splice(index, 0, key);
    if (index === 0 || count === this.codes.length || !key.startsWith(this.prefix)) this.stale = true;
    if (this.stale) return;
    this.codes.copyWithin(index + 1, index, count);
    this.codes[index] = codeOf(key, this.prefix.length);
  }

  remove(index: number): void {
    this.codes.copyWithin(index, index + 1, this.keys.length);
    this.keys.splice(index, 1);
  }

  /** Puts `key` in the place of another, between the same neighbours. */
  replace(index: number, key: string): void {
    this.keys[index] = key;
    if (index === 0 || this.stale) return;
    if (key.startsWith(this.prefix)) this.codes[index] = codeOf(key, this.prefix.length);
    else this.stale = true;
  }

  private encode(): void {
    const { keys } = this;
    const second = keys[1] ?? '';
    this.prefix = second.slice(0, commonPrefixLength(second, keys.at(-1) ?? ''));
    // A quarter of room, so that one more key does not mean a new array.
    if (this.codes.length <= keys.length) this.codes = new Float64Array(keys.length + (keys.length >> 2) + 1);
    for (let i = 1; i < keys.length; i++) this.codes[i] = codeOf(keys[i] as string, this.prefix.length);
    this.stale = false;
  }
}
