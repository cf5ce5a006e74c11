import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { simulate } from './cluster.ts';
import { MISTAKES } from './mistakes/index.ts';
import { searched } from './mistakes/planted.ts';
import { RUNS } from './mistakes/runs.ts';
import { isFinding } from './mistakes/search.ts';
import { SETTINGS } from './mistakes/settings.ts';
import { changedSource, fileOf } from './mistakes/source-changes.ts';
import type { SourceChange } from './mistakes/source-changes.ts';

/** Seeds within which a mistake must be found here. All of them are looked for by `npm run sim -- --planted`. */
const SEEDS_MAX = 10;
const SEARCH_MS_MAX = 300_000;

/** Metadata restore does not exist yet: there is nothing that could leave the rule out. */
const RULES_WITHOUT_CODE = ['S5'];

/** A few that are found at once, one for each way in which modules are changed. */
const QUICK = [
  'a sequence that moved does not begin the observation anew',
  'a registration does not wait for the end of the old lease',
  'a split commits its left part before its right part',
];

/** Ports need no process of their own: these are found by seed 1 or 2. */
const PORTS = [
  'a node believes in its lease until it is told of the fence',
  'an entry of a passed node epoch may be elected',
  'the id of a removed replica is used again',
  'a merge commits without its leaders being sealed',
];

describe('the list of planted mistakes', () => {
  test('has one for each rule of the protocol that is built', () => {
    const protocol = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8');
    const rules = [...protocol.matchAll(/^- \*\*([LRES]\d+)(?: \(m\))?\*\*/gm)].map(([, rule]) => rule ?? '');
    const broken = new Set(MISTAKES.map(({ breaks }) => breaks));
    expect(rules.length).toBeGreaterThanOrEqual(21);
    expect(rules.filter((rule) => !broken.has(rule))).toEqual(RULES_WITHOUT_CODE);
  });

  test('names each once', () => {
    expect(new Set(MISTAKES.map(({ name }) => name)).size).toBe(MISTAKES.length);
    expect(MISTAKES.length).toBeGreaterThanOrEqual(30);
  });

  const changes: readonly (readonly [string, readonly SourceChange[]])[] = [
    ...MISTAKES.map(({ name, changes: planted }) => [name, planted] as const),
    ...Object.entries(SETTINGS).map(([name, setting]) => [name, setting.changes] as const),
  ];
  test.each(changes.filter(([, made]) => made.length > 0))(
    '%s: what it replaces stands in the module once',
    (_, made) => {
      const texts = new Map<string, string>();
      for (const change of made) {
        const path = fileOf(change);
        texts.set(path, changedSource(texts.get(path) ?? readFileSync(path, 'utf8'), change));
      }
      for (const text of texts.values()) expect(() => stripTypeScriptTypes(text)).not.toThrow();
    },
  );
});

describe('the simulation finds planted mistakes', () => {
  test.each(PORTS)(
    '%s',
    async (name) => {
      const { setting, mistakes = {} } = MISTAKES.find((mistake) => mistake.name === name)!;
      for (let seed = 1; seed <= SEEDS_MAX; seed++) {
        const { problems } = await simulate({ ...RUNS[setting](seed).options, mistakes });
        if (problems.some(isFinding)) return;
      }
      throw new Error(`not found within ${SEEDS_MAX} seeds`);
    },
    SEARCH_MS_MAX,
  );

  test.each(QUICK)(
    'in a process of its own: %s',
    async (name) => {
      const planted = MISTAKES.find((mistake) => mistake.name === name)!;
      const runs = await searched({ mistake: name, setting: planted.setting, firstSeed: 1, seeds: SEEDS_MAX });
      expect(runs.at(-1)?.problems.filter(isFinding)).not.toEqual([]);
    },
    SEARCH_MS_MAX,
  );
});
