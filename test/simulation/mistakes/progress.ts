import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import type { FoundMistake } from './planted.ts';
import type { SettingName } from './settings.ts';

/**
 * What a complete search for planted mistakes has done so far, so that it can be made in parts: one JSON object a line, each of the commit at
 * which it was run. Lines of another commit don't count: what they found was found in other code.
 */
export interface Progress {
  found(name: string): FoundMistake | null;
  /** Problems of the healthy cluster; null: that seed was not run yet. */
  healthy(setting: SettingName, seed: number): readonly string[] | null;
  add(line: ProgressLine): void;
}

type ProgressLine =
  | { readonly kind: 'MISTAKE'; readonly mistake: FoundMistake }
  | {
      readonly kind: 'HEALTHY';
      readonly setting: SettingName;
      readonly seed: number;
      readonly problems: readonly string[];
    };

/** Reads what is there. Without a path nothing outlives the process. */
export function openProgress(path: string | undefined, commit: string): Progress {
  const found = new Map<string, FoundMistake>();
  const healthy = new Map<string, readonly string[]>();
  const take = (line: ProgressLine): void => {
    if (line.kind === 'MISTAKE') found.set(line.mistake.name, line.mistake);
    else healthy.set(`${line.setting}/${line.seed}`, line.problems);
  };
  if (path !== undefined && existsSync(path)) {
    for (const text of readFileSync(path, 'utf8').split('\n')) {
      if (text === '') continue;
      const line = JSON.parse(text) as ProgressLine & { readonly commit: string };
      if (line.commit === commit) take(line);
    }
  }
  return {
    found: (name) => found.get(name) ?? null,
    healthy: (setting, seed) => healthy.get(`${setting}/${seed}`) ?? null,
    add: (line) => {
      take(line);
      if (path !== undefined) appendFileSync(path, `${JSON.stringify({ commit, ...line })}\n`);
    },
  };
}
