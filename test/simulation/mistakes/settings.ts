import type { SourceChange } from './source-changes.ts';

/**
 * The kinds of runs in which mistakes are looked for. A change of a setting is not a mistake: the healthy cluster runs with it as well, and
 * must be clean.
 */
export interface Setting {
  readonly about: string;
  readonly changes: readonly SourceChange[];
}

/** Clock error, either way, at which a lease of 3 s and its two bounds of 500 ms just hold: (1 + x) / (1 - x) < 3,500 / 2,500 up to x = 0.166. */
const CLOCK_ERROR = 0.155;

export const SETTINGS = {
  ordinary: { about: 'random faults; relayed and operated by the seed', changes: [] },
  operated: { about: 'random faults, with an operator', changes: [] },
  pauses: { about: 'nodes freeze for 0.5 to 3 leases, again and again', changes: [] },
  'clean stops': { about: 'nodes are stopped as by Ctrl-C and started again, again and again', changes: [] },
  restarts: { about: 'nodes die and start again at once, again and again', changes: [] },
  partitions: {
    about: 'up to four cuts at a time, in one direction or both, between nodes and from the control plane',
    changes: [],
  },
  'partitions, operated': { about: 'partitions, and an operator', changes: [] },
  'two deaths at a time': {
    about: 'two nodes die within a second of each other; store calls take up to 60 ms',
    changes: [],
  },
  'power losses': { about: 'a node lags, another one loses its disk, then all nodes lose power', changes: [] },
  'moves and restarts': {
    about: 'an operator while nodes die and start again, and store calls take their time',
    changes: [],
  },
  'contended store': { about: 'every second write is refused by another transaction, for 20 s at a time', changes: [] },
  'many nodes lost at once': { about: 'four of five nodes in three zones fall silent at once', changes: [] },
  'store outage with a node cut off': {
    about: 'the store is gone for longer than every lease, a node cut off besides',
    changes: [],
  },
  'store outage of a small cluster': {
    about: 'one of three nodes is long dead, then the store is gone for longer than every lease',
    changes: [],
  },
  'a follower cut off from its leader': {
    about: 'one follower of each shard in turn, reachable by everybody else',
    changes: [],
  },
  'a leader cut off from its followers': {
    about: 'one leader, reachable by clients and the control plane',
    changes: [],
  },
  'failover without push': { about: 'leaders die; functions reach no node (standard lease)', changes: [] },
  'clocks at their bounds': {
    about: 'random faults; clocks of nodes and functions run up to 15.5 % too fast or too slow',
    changes: [
      {
        file: 'test/simulation/nodes.ts',
        find: 'const CLOCK_RATE_ERROR_MAX = 0.02;',
        replace: `const CLOCK_RATE_ERROR_MAX = ${CLOCK_ERROR};`,
      },
      {
        file: 'test/simulation/control-plane.ts',
        find: 'const CLOCK_RATE_ERROR_MAX = 0.01;',
        replace: `const CLOCK_RATE_ERROR_MAX = ${CLOCK_ERROR};`,
      },
    ],
  },
  'small pages': {
    about: 'as moves and restarts; pages of the directory hold two to four shards',
    changes: [
      {
        file: 'shared/store/directory-pages.ts',
        find: 'export const PAGE_SHARDS_MAX = 64;',
        replace: 'export const PAGE_SHARDS_MAX = 4;',
      },
      {
        file: 'shared/store/directory-pages.ts',
        find: 'export const PAGE_FILL = 48;',
        replace: 'export const PAGE_FILL = 3;',
      },
    ],
  },
} as const satisfies Readonly<Record<string, Setting>>;

export type SettingName = keyof typeof SETTINGS;
