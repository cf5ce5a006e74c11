import { commit } from '../../../bench/commit.ts';
import { findPlanted, SEEDS_MAX } from './planted.ts';
import { openProgress } from './progress.ts';

/** What `npm run sim -- --planted` was asked for. `seeds`: how many each search tries, SEEDS_MAX when missing. */
export interface PlantedRequest {
  readonly planted: boolean;
  readonly json: boolean;
  readonly only?: string | undefined;
  readonly seeds?: string | undefined;
  /** A file that keeps what was done (progress.ts), so that calls with `seconds` make a complete search in parts. */
  readonly into?: string | undefined;
  /** Nothing new is begun after so many seconds. */
  readonly seconds?: string | undefined;
}

/**
 * Looks for the planted mistakes and prints what came of it; answers the exit status: 1 if one was missed, a healthy run failed, or something is
 * left to do.
 */
export async function reportPlanted({ json, only, seeds, into, seconds }: PlantedRequest): Promise<number> {
  const print = (line: string): void => void (json ? process.stderr : process.stdout).write(`${line}\n`);
  const atCommit = commit();
  const {
    mistakes,
    healthy_problems: healthy,
    ...counts
  } = await findPlanted({
    seeds: seeds === undefined ? SEEDS_MAX : Number(seeds),
    progress: openProgress(into, atCommit),
    print,
    ...(only === undefined ? {} : { only }),
    ...(seconds === undefined ? {} : { secondsMax: Number(seconds) }),
  });
  const pass = counts.found === counts.planted && healthy.length === 0 && counts.left === 0;
  const summary = {
    name: 'planted-mistakes',
    commit: atCommit,
    pass,
    ...counts,
    healthy_failed: healthy.length,
    mutants: mistakes.map(({ seconds: took, ...mistake }) => ({ ...mistake, seconds: Math.round(took * 10) / 10 })),
  };
  print(`${counts.found} of ${counts.planted} found; seeds needed: at most ${counts.seeds_needed_max}`);
  if (counts.left > 0) print(`${counts.left} searches and healthy runs are left for another call`);
  if (json) process.stdout.write(`${JSON.stringify(summary)}\n`);
  return pass ? 0 : 1;
}
