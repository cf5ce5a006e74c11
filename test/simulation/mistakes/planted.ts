import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { MISTAKES } from './index.ts';
import type { PlantedMistake } from './planted-mistake.ts';
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
  readonly mistakes: readonly FoundMistake[];
}

export async function findPlanted({ seeds, only, print }: PlantedOptions): Promise<PlantedResult> {
  const wanted = MISTAKES.filter(({ name, breaks }) => only === undefined || name.includes(only) || breaks === only);
  const found: FoundMistake[] = [];
  for (const mistake of wanted) {
    const one = await find(mistake, seeds);
    found.push(one);
    const where = one.seed === null ? `NOT FOUND within ${seeds} seeds` : `seed ${one.seed}: ${one.problem ?? ''}`;
    print(`${one.rule.padEnd(4)} ${one.name} [${one.setting}] ${one.seconds.toFixed(1)} s, ${where.slice(0, 200)}`);
  }
  const healthy = await runHealthy(found, print);
  // What the healthy cluster shows too was not found by the mistake.
  const mistakes = found.map((one) =>
    healthy.failed.has(`${one.setting}/${one.seed ?? 0}`) ? { ...one, invariant: null, seed: null } : one,
  );
  const needed = mistakes.flatMap(({ seed }) => seed ?? []);
  return {
    planted: mistakes.length,
    found: needed.length,
    seeds_needed_max: Math.max(0, ...needed),
    healthy_problems: healthy.problems,
    healthy_runs: healthy.runs,
    mistakes,
  };
}

async function find(mistake: PlantedMistake, seeds: number): Promise<FoundMistake> {
  const { name, breaks, setting } = mistake;
  const startMs = performance.now();
  const runs = await searched({ mistake: name, setting, firstSeed: 1, seeds });
  const seconds = (performance.now() - startMs) / 1000;
  const last = runs.at(-1);
  const problem = last?.problems.find(isFinding) ?? null;
  const invariant = problem === null ? null : (/^[\w-]+/.exec(problem)?.[0] ?? null);
  return {
    name,
    rule: breaks,
    setting,
    invariant,
    seed: problem === null ? null : (last?.seed ?? null),
    seconds,
    problem,
  };
}

/** The healthy cluster, in each setting with every seed up to the last one that found something there. */
async function runHealthy(
  found: readonly FoundMistake[],
  print: (line: string) => void,
): Promise<{ readonly runs: number; readonly problems: readonly string[]; readonly failed: ReadonlySet<string> }> {
  const last = new Map<SettingName, number>();
  for (const { setting, seed } of found) last.set(setting, Math.max(last.get(setting) ?? 0, seed ?? 0));
  const problems: string[] = [];
  const failed = new Set<string>();
  let count = 0;
  for (const [setting, seeds] of last) {
    if (seeds === 0) continue;
    const runs = await searched({ mistake: null, setting, firstSeed: 1, seeds });
    count += runs.length;
    for (const { seed, problems: seen } of runs) {
      if (seen.length === 0) continue;
      failed.add(`${setting}/${seed}`);
      problems.push(...seen.map((problem) => `${setting}, seed ${seed}: ${problem}`));
    }
    print(`healthy, ${setting}: seeds 1 to ${seeds}, ${runs.filter((run) => run.problems.length > 0).length} failed`);
  }
  return { runs: count, problems, failed };
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
