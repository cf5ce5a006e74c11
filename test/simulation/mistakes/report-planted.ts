import { findPlanted, SEEDS_MAX } from './planted.ts';

/** What `npm run sim -- --planted` was asked for. `seeds`: how many each search tries, SEEDS_MAX when missing. */
export interface PlantedRequest {
  readonly planted: boolean;
  readonly json: boolean;
  readonly only?: string | undefined;
  readonly seeds?: string | undefined;
}

/** Looks for the planted mistakes and prints what came of it; answers the exit status: 1 if one was missed, or a healthy run failed. */
export async function reportPlanted({ json, only, seeds }: PlantedRequest): Promise<number> {
  const print = (line: string): void => void (json ? process.stderr : process.stdout).write(`${line}\n`);
  const {
    mistakes,
    healthy_problems: healthy,
    ...counts
  } = await findPlanted({
    seeds: seeds === undefined ? SEEDS_MAX : Number(seeds),
    print,
    ...(only === undefined ? {} : { only }),
  });
  for (const problem of healthy) print(`HEALTHY CLUSTER: ${problem}`);
  const pass = counts.found === counts.planted && healthy.length === 0;
  const summary = {
    name: 'planted-mistakes',
    pass,
    ...counts,
    healthy_failed: healthy.length,
    mutants: mistakes.map(({ seconds, ...mistake }) => ({ ...mistake, seconds: Math.round(seconds * 10) / 10 })),
  };
  print(`${counts.found} of ${counts.planted} found; seeds needed: at most ${counts.seeds_needed_max}`);
  if (json) process.stdout.write(`${JSON.stringify(summary)}\n`);
  return pass ? 0 : 1;
}
