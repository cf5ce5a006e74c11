import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { MISTAKES } from './index.ts';
import type { PlantedMistake } from './planted-mistake.ts';
import type { Progress } from './progress.ts';
import { isFinding } from './search.ts';
import type { Search, SeedResult } from './search.ts';
import type { SettingName } from './settings.ts';

/**
 * `npm run sim -- --planted`: looks for every planted mistake, then runs the healthy cluster in the same settings with the same seeds. A
 * mistake is found if a check fails with it, in a run in which nothing fails without it.
 */

/** Seeds within which every mistake has to be found (docs/verification.md). */
export const SEEDS_MAX = 10_000;

export interface PlantedOptions {
  /** Seeds tried for each mistake, from 1 on. */
  readonly seeds: number;
  /** Mistakes whose name or rule contains this; all of them when missing. */
  readonly only?: string;
  /** Nothing new is begun after so many seconds; the rest is left to another call with the same progress. Without a bound when missing. */
  readonly secondsMax?: number;
  readonly progress: Progress;
  readonly print: (line: string) => void;
}

export interface FoundMistake {
  readonly name: string;
  readonly rule: string;
  readonly setting: SettingName;
  /** What found it: an invariant, a rule that a setting watches, or liveness. Null: not found. */
  readonly invariant: string | null;
  /** The seed that found it; as seeds begin at 1, also how many were needed. */
  readonly seed: number | null;
  readonly seconds: number;
  readonly problem: string | null;
}

export interface PlantedResult {
  readonly planted: number;
  readonly found: number;
  readonly seeds_needed_max: number;
  /** Problems of the healthy cluster in the same settings with the same seeds. */
  readonly healthy_problems: readonly string[];
  readonly healthy_runs: number;
  /** Searches, and runs of the healthy cluster, that the bound on time left to another call. */
  readonly left: number;
  readonly mistakes: readonly FoundMistake[];
}

/** Runs of the healthy cluster in one process: the bound on time is looked at in between. */
const HEALTHY_RUNS_MAX = 5;

export async function findPlanted(options: PlantedOptions): Promise<PlantedResult> {
  const { seeds, only, progress, print } = options;
  const untilMs = performance.now() + (options.secondsMax ?? Infinity) * 1000;
  const isTime = (): boolean => performance.now() < untilMs;
  const wanted = MISTAKES.filter(({ name, breaks }) => only === undefined || name.includes(only) || breaks === only);
  const found: FoundMistake[] = [];
  for (const mistake of wanted) {
    const known = progress.found(mistake.name);
    if (known === null && !isTime()) continue;
    const one = known ?? (await find(mistake, seeds, progress));
    if (known === null) progress.add({ kind: 'MISTAKE', mistake: one });
    found.push(one);
    const where = one.seed === null ? `NOT FOUND within ${seeds} seeds` : `seed ${one.seed}: ${one.problem ?? ''}`;
    print(`${one.rule.padEnd(4)} ${one.name} [${one.setting}] ${one.seconds.toFixed(1)} s, ${where.slice(0, 200)}`);
  }
  const healthy = await runHealthy(found, progress, isTime);
  for (const problem of healthy.problems) print(`HEALTHY CLUSTER: ${problem}`);
  // What the healthy cluster shows too was not found by the mistake.
  const mistakes = found.map((one) =>
    healthy.failed.has(`${one.setting}/${one.seed ?? 0}`) ? { ...one, invariant: null, seed: null } : one,
  );
  const needed = mistakes.flatMap(({ seed }) => seed ?? []);
  return {
    planted: wanted.length,
    found: needed.length,
    seeds_needed_max: Math.max(0, ...needed),
    healthy_problems: healthy.problems,
    healthy_runs: healthy.runs,
    left: wanted.length - found.length + healthy.left,
    mistakes,
  };
}

async function find(mistake: PlantedMistake, seeds: number, progress: Progress): Promise<FoundMistake> {
  const { name, breaks, setting } = mistake;
  const startMs = performance.now();
  const found = await firstFinding(mistake, seeds, progress);
  const problem = found?.problems.find(isFinding) ?? null;
  const invariant = problem === null ? null : (/^[\w-]+/.exec(problem)?.[0] ?? null);
  const seconds = (performance.now() - startMs) / 1000;
  return { name, rule: breaks, setting, invariant, seed: found?.seed ?? null, seconds, problem };
}

/** What the healthy cluster shows with the same seed too is no finding: the search goes on. */
async function firstFinding(
  { name, setting }: PlantedMistake,
  seeds: number,
  progress: Progress,
): Promise<SeedResult | null> {
  let firstSeed = 1;
  while (firstSeed <= seeds) {
    const runs = await searched({ mistake: name, setting, firstSeed, seeds: seeds - firstSeed + 1 });
    const found = runs.find(({ problems }) => problems.some(isFinding));
    if (found === undefined) return null;
    if ((await healthyRun(setting, found.seed, progress)).length === 0) return found;
    firstSeed = found.seed + 1;
  }
  return null;
}

async function healthyRun(setting: SettingName, seed: number, progress: Progress): Promise<readonly string[]> {
  const known = progress.healthy(setting, seed);
  if (known !== null) return known;
  const [run] = await searched({ mistake: null, setting, firstSeed: seed, seeds: 1 });
  const problems = run?.problems ?? [];
  progress.add({ kind: 'HEALTHY', setting, seed, problems });
  return problems;
}

interface HealthyRuns {
  readonly runs: number;
  readonly left: number;
  readonly problems: readonly string[];
  readonly failed: ReadonlySet<string>;
}

/** The healthy cluster, in each setting with every seed up to the last one that found something there. */
async function runHealthy(
  found: readonly FoundMistake[],
  progress: Progress,
  isTime: () => boolean,
): Promise<HealthyRuns> {
  const last = new Map<SettingName, number>();
  for (const { setting, seed } of found) last.set(setting, Math.max(last.get(setting) ?? 0, seed ?? 0));
  const problems: string[] = [];
  const failed = new Set<string>();
  let runs = 0;
  let left = 0;
  for (const [setting, seeds] of last) {
    for (let seed = 1; seed <= seeds; seed++) {
      if (progress.healthy(setting, seed) === null && isTime()) {
        const batch = await searched({
          mistake: null,
          setting,
          firstSeed: seed,
          seeds: Math.min(HEALTHY_RUNS_MAX, seeds - seed + 1),
        });
        for (const run of batch) progress.add({ kind: 'HEALTHY', setting, ...run });
      }
      const seen = progress.healthy(setting, seed);
      if (seen === null) left += 1;
      else runs += 1;
      if (seen === null || seen.length === 0) continue;
      failed.add(`${setting}/${seed}`);
      problems.push(...seen.map((problem) => `${setting}, seed ${seed}: ${problem}`));
    }
  }
  return { runs, left, problems, failed };
}

const PROCESS = fileURLToPath(new URL('./main.ts', import.meta.url));

/** Runs a search in a process of its own; answers what it said of each seed. */
export async function searched(search: Search): Promise<readonly SeedResult[]> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', PROCESS, JSON.stringify(search)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  const results: SeedResult[] = [];
  for await (const line of createInterface({ input: child.stdout })) results.push(JSON.parse(line) as SeedResult);
  const [status] = (await ended) as [number | null];
  if (status !== 0) throw new Error(`the search for "${search.mistake ?? 'nothing'}" ended with status ${status}`);
  return results;
}
