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

const CLOCKS_AT_BOUNDS: readonly SourceChange[] = ['test/simulation/nodes.ts', 'test/simulation/control-plane.ts'].map(
  (file) => ({
    file,
    find: 'clockRate: 1 + random.between(-CLOCK_RATE_ERROR_MAX, CLOCK_RATE_ERROR_MAX),',
    replace: `clockRate: 1 + (random.chance(0.5) ? ${CLOCK_ERROR} : -${CLOCK_ERROR}),`,
  }),
);

const OPERATOR = 'test/simulation/operator-actions.ts';
const MOSTLY_SPLITS: readonly SourceChange[] = [
  {
    file: OPERATOR,
    find: `export const ACTIONS: readonly Action[] = [
  {
    weight: 5,`,
    replace: `export const ACTIONS: readonly Action[] = [
  {
    weight: 60,`,
  },
  {
    file: OPERATOR,
    find: `    weight: 6,
    starts: true,
    request: ({ shards }, random) => {`,
    replace: `    weight: 60,
    starts: true,
    request: ({ shards }, random) => {`,
  },
];
const MOSTLY_MOVES: SourceChange = {
  file: OPERATOR,
  find: `    weight: 6,
    starts: true,
    request: ({ shards, nodes }, random) => {`,
  replace: `    weight: 60,
    starts: true,
    request: ({ shards, nodes }, random) => {`,
};

const MOSTLY_TRANSFERS: SourceChange = {
  file: OPERATOR,
  find: `  {
    weight: 4,
    starts: false,
    request: ({ shards }, random) => {
      const shard = one(shards, random);
      if (shard === null) return null;
`,
  replace: `  {
    weight: 60,
    starts: false,
    request: ({ shards }, random) => {
      const shard = one(shards, random);
      if (shard === null) return null;
`,
};
/** Five copies on five nodes are left out: a drain would wait for a sixth node for as long as its operator lets it. */
const MOSTLY_FACTORS: readonly SourceChange[] = [
  {
    file: OPERATOR,
    find: `    weight: 1,
    starts: true,
    request: ({ table }, random) => {`,
    replace: `    weight: 60,
    starts: true,
    request: ({ table }, random) => {`,
  },
  {
    file: OPERATOR,
    find: 'const REPLICATION_FACTORS = [2, 3, 3, 4, 5];',
    replace: 'const REPLICATION_FACTORS = [2, 3, 3, 4];',
  },
];
const MOSTLY_DRAINS: readonly SourceChange[] = [
  {
    file: OPERATOR,
    find: `  { weight: 2, starts: true, request: ({ nodes }, random) => ofNode('drain', random.pick(nodes)) },`,
    replace: `  { weight: 40, starts: true, request: ({ nodes }, random) => ofNode('drain', random.pick(nodes)) },`,
  },
  {
    file: OPERATOR,
    find: `  { weight: 5, starts: false, request: ({ nodes }, random) => ofNode('uncordon', random.pick(nodes)) },`,
    replace: `  { weight: 50, starts: false, request: ({ nodes }, random) => ofNode('uncordon', random.pick(nodes)) },`,
  },
  { file: OPERATOR, find: `  control('cancel', 2,`, replace: `  control('cancel', 20,` },
];
/** A run has nine shards at most, a page in production 64. */
const SMALL_PAGES: readonly SourceChange[] = [
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
];

export const SETTINGS = {
  ordinary: { about: 'random faults; relayed and operated by the seed', changes: [] },
  operated: { about: 'random faults, with an operator', changes: [] },
  'clean stops': { about: 'nodes are stopped as by Ctrl-C and started again, again and again', changes: [] },
  partitions: {
    about: 'one node after the other: half of its links to nodes and control plane are cut, by direction',
    changes: [],
  },
  'answers lost': {
    about: 'a node of three lags and comes back while the others do not hear the control plane, and is cut off again',
    changes: [],
  },
  'requests repeated late': {
    about:
      'every second request comes again up to 6 s later; a node of three lags, comes back and lags again, then another one dies',
    changes: [],
  },
  'splits under partitions': {
    about: 'partitions, and an operator who mostly splits and merges',
    changes: MOSTLY_SPLITS,
  },
  'power losses': {
    about: 'a node lags, another one loses its disk, then all die within seconds and start again',
    changes: [],
  },
  'splits that leaders do not hear of': {
    about:
      'a node hears nothing from the control plane for a while, then mostly dies; an operator who mostly splits and merges',
    changes: MOSTLY_SPLITS,
  },
  'power losses with an old directory': {
    about: 'all die, and the first one that is back has its directory of ten seconds ago',
    changes: [],
  },
  'moves and clean restarts': {
    about:
      'nodes are stopped as by Ctrl-C and are back within a second, and an operator who mostly moves; store calls take up to 60 ms',
    changes: [MOSTLY_MOVES],
  },
  'factors and drains': {
    about:
      'nodes die and start again, and an operator who mostly drains and changes the replication factor, and cancels much of it; store calls take up to 60 ms',
    changes: [...MOSTLY_FACTORS, ...MOSTLY_DRAINS],
  },
  'clean restarts on a slow store': {
    about:
      'nodes are stopped as by Ctrl-C and are back within a second; store calls take up to 300 ms, so that nodes register while elections are decided',
    changes: [],
  },
  'transfers and clean restarts': {
    about:
      'nodes are stopped as by Ctrl-C and are back within a second, and an operator who mostly transfers leaders; store calls take up to 300 ms, so that nodes register while leaders step down for them',
    changes: [MOSTLY_TRANSFERS],
  },
  'small pages': {
    about:
      'a page of the directory holds four shards at most; partitions, and an operator who mostly splits and merges; store calls take up to 60 ms',
    changes: [...MOSTLY_SPLITS, ...SMALL_PAGES],
  },
  'copies raised and lowered': {
    about: 'partitions, and an operator who mostly changes the replication factor; store calls take up to 60 ms',
    changes: MOSTLY_FACTORS,
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
    about:
      'clocks of nodes and functions run 15.5 % too fast or too slow; the control plane does not hear nodes that everybody else reaches',
    changes: CLOCKS_AT_BOUNDS,
  },
  'late answers, clocks at their bounds': {
    about: 'the same, and some messages are up to 1.5 s late',
    changes: CLOCKS_AT_BOUNDS,
  },
} as const satisfies Readonly<Record<string, Setting>>;

export type SettingName = keyof typeof SETTINGS;
