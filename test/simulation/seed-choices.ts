import type { HotCalls } from './front-door.ts';
import type { SimulationOptions } from './options.ts';

/** What a run's seed decides, unless its options say it. */
export interface SeedChoices {
  /** The nodes beat through one of them (L3). */
  readonly relayed: boolean;
  /** An operator splits, moves, drains at random. */
  readonly operated: boolean;
  /** Half of the control plane's processes are of the next release. */
  readonly mixedReleases: boolean;
  readonly medium: 'FILE' | 'MEMORY';
  /** How heartbeats, reports and routes come in. */
  readonly hotCalls: HotCalls;
}

/** One seed in so many has its data nodes' databases in files, as in production. */
const FILES_EVERY_SEEDS = 10;
/** Relays cost signatures; they are half of the dense runs and an eighth of the steady ones. */
const RELAYED_EVERY_SEEDS = { dense: 2, steady: 8 } as const;
const NOT_OPERATED_EVERY_SEEDS = 3;
const MIXED_EVERY_SEEDS = 5;
const HOT_CALLS_BY_GATEWAY_EVERY_SEEDS = 4;

export function choicesOf(options: SimulationOptions): SeedChoices {
  const { seed, scenario, script } = options;
  const isRandom = scenario === undefined && script === undefined;
  return {
    relayed: options.relayed ?? (isRandom && seed % RELAYED_EVERY_SEEDS[options.pace ?? 'dense'] === 0),
    operated: options.operated ?? (script === undefined && seed % NOT_OPERATED_EVERY_SEEDS !== 0),
    mixedReleases: options.mixedReleases ?? (isRandom && seed % MIXED_EVERY_SEEDS === MIXED_EVERY_SEEDS - 1),
    hotCalls: seed % HOT_CALLS_BY_GATEWAY_EVERY_SEEDS === 1 ? 'GATEWAY' : 'FUNCTION_URL',
    medium: options.medium ?? (seed % FILES_EVERY_SEEDS === 0 ? 'FILE' : 'MEMORY'),
  };
}
