import type { Random } from '../../shared/domain/environment.ts';
import { orderOf } from '../engine/key-range.ts';

/** Keys of requests kept as a sample, and how many are needed before it says anything. */
const SAMPLE_KEYS_MAX = 128;
const SAMPLE_KEYS_MIN = 32;
/** Once the sample is full every so many requests replace one of it, so that it follows the load. */
const SAMPLE_EVERY = 8;

export interface LoadSplit {
  /** In the store's encoding. */
  readonly key: string;
  /** Share of the sampled requests below the key: above 0 and below 1. */
  readonly leftShare: number;
}

/** What clients ask of one shard: counts since the last statistics, and a sample of keys that lasts. */
export class ShardLoad {
  private readonly random: Random;
  private reads = 0;
  private writes = 0;
  private busyMs = 0;
  private seen = 0;
  private readonly sample: string[] = [];

  constructor(random: Random) {
    this.random = random;
  }

  /** `key` in the store's encoding. */
  request(kind: 'READ' | 'WRITE', key: string): void {
    if (kind === 'READ') this.reads++;
    else this.writes++;
    this.seen++;
    if (this.sample.length < SAMPLE_KEYS_MAX) this.sample.push(key);
    else if (this.seen % SAMPLE_EVERY === 0) this.sample[Math.floor(this.random.next() * SAMPLE_KEYS_MAX)] = key;
  }

  busy(ms: number): void {
    this.busyMs += ms;
  }

  /** Counts since the last call. */
  take(): { readonly reads: number; readonly writes: number; readonly busyMs: number } {
    const { reads, writes, busyMs } = this;
    this.reads = 0;
    this.writes = 0;
    this.busyMs = 0;
    return { reads, writes, busyMs };
  }

  /** The range changed: keys outside say nothing any more. */
  forget(isOutside: (key: string) => boolean): void {
    const kept = this.sample.filter((key) => !isOutside(key));
    this.sample.splice(0, this.sample.length, ...kept);
  }

  /** The key that comes closest to halving the sample; null if none leaves requests on both sides: one hot key can't be split. */
  split(): LoadSplit | null {
    if (this.sample.length < SAMPLE_KEYS_MIN) return null;
    const keys = [...this.sample].sort(orderOf);
    let best: LoadSplit | null = null;
    keys.forEach((key, below) => {
      if (below === 0 || key === keys[below - 1]) return;
      const leftShare = below / keys.length;
      if (best === null || Math.abs(leftShare - 0.5) < Math.abs(best.leftShare - 0.5)) best = { key, leftShare };
    });
    return best;
  }
}
