import type { PlantedMistake } from './planted-mistake.ts';
import { SETTINGS } from './settings.ts';
import type { SettingName } from './settings.ts';
import { loadWithChanges } from './source-changes.ts';

/**
 * Looks for one mistake, or runs the healthy cluster, seed by seed, in this process: modules are loaded with the mistake in them, so that a
 * process holds one mistake in its life. Run by planted.ts; its argument is a `Search` as JSON, its output a `Found` for each seed.
 */

export interface Search {
  /** Name of the mistake; null: the healthy cluster in the setting. */
  readonly mistake: string | null;
  readonly setting: SettingName;
  readonly firstSeed: number;
  readonly seeds: number;
}

/** One run. `problems` is empty if nothing was found. */
export interface SeedResult {
  readonly seed: number;
  readonly problems: readonly string[];
}

/** Runs the seeds up to the first that shows a problem; of the healthy cluster all. */
export async function search(
  { mistake, setting, firstSeed, seeds }: Search,
  planted: PlantedMistake | null,
  report: (result: SeedResult) => void,
): Promise<void> {
  const { unloaded } = loadWithChanges([...SETTINGS[setting].changes, ...(planted?.changes ?? [])]);
  const { simulate } = await import('../cluster.ts');
  const { RUNS } = await import('./runs.ts');
  if (unloaded().length > 0) throw new Error(`the simulation does not load ${unloaded().join(', ')}`);
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    const run = RUNS[setting](seed);
    const result = await simulate({ ...run.options, mistakes: planted?.mistakes ?? {} });
    const problems = [...result.problems, ...(run.problems?.(result) ?? [])];
    report({ seed, problems });
    if (mistake !== null && problems.some(isFinding)) return;
  }
}

/** A broken invariant, or a broken promise of liveness: what a check found. A process that fails is no finding. */
export const isFinding = (problem: string): boolean => /^(I-\d+|[LRES]\d+|Liveness)\b/.test(problem);
