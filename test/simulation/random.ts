import type { Random } from '../../shared/domain/environment.ts';

/**
 * Seeded randomness of a simulation. Generator: sfc32 of Chris Doty-Humphrey (PractRand), the "small fast counting" generator
 * with 128 bits of state; its state is filled by FNV-1a over the seed's text, as far apart as four hashes with different
 * offsets are. Never for secrets.
 */
export interface SeededRandom extends Random {
  /** An independent generator, fixed by this one's seed and `name` (not by how much was drawn before). */
  fork(name: string): SeededRandom;
  /** Uniform integer in [0, bound). `bound` >= 1. */
  below(bound: number): number;
  /** Uniform in [low, high). */
  between(low: number, high: number): number;
  /** True with `probability` (0 to 1). */
  chance(probability: number): boolean;
  /** One of `items` (at least one). */
  pick<T>(items: readonly T[]): T;
}

/** Draws thrown away after seeding, so that similar seeds part (PractRand's own practice). */
const WARM_UP_DRAWS = 12;

export function seededRandom(seed: number | string): SeededRandom {
  const name = String(seed);
  let a = fnv1a(`a:${name}`);
  let b = fnv1a(`b:${name}`);
  let c = fnv1a(`c:${name}`);
  let counter = 1;
  const next32 = (): number => {
    const result = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + result;
    return result >>> 0;
  };
  for (let i = 0; i < WARM_UP_DRAWS; i++) next32();
  const next = (): number => next32() / 0x1_0000_0000;
  const below = (bound: number): number => Math.floor(next() * bound);
  return {
    next,
    below,
    between: (low, high) => low + next() * (high - low),
    chance: (probability) => next() < probability,
    pick: (items) => {
      const item = items[below(items.length)];
      if (item === undefined) throw new Error('nothing to pick from');
      return item;
    },
    hex: (bytes) => {
      let text = '';
      let left = bytes;
      for (; left >= 4; left -= 4) {
        const drawn = next32();
        text += HEX_OF_16_BITS[drawn >>> 16]! + HEX_OF_16_BITS[drawn & 0xffff]!;
      }
      if (left === 0) return text;
      const drawn = next32();
      const last = HEX_OF_16_BITS[drawn >>> 16]! + HEX_OF_16_BITS[drawn & 0xffff]!;
      return text + last.slice(0, left * 2);
    },
    fork: (child) => seededRandom(`${name}/${child}`),
  };
}

/** Four digits for each value of 16 bits: every request and every write draws an id. */
const HEX_OF_16_BITS: readonly string[] = Array.from({ length: 0x1_0000 }, (_, value) =>
  value.toString(16).padStart(4, '0'),
);

/** FNV-1a, 32 bits (Fowler, Noll, Vo; RFC 9923). */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash ^= text.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193);
  }
  return hash >>> 0;
}
