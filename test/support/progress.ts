import { appendFileSync, existsSync, readFileSync } from 'node:fs';

/** What a long run has done so far, so that it can be made in parts: one JSON object a line. A key names what was done, and of what. */
export interface Progress {
  get<T>(key: string): T | null;
  add(key: string, value: unknown): void;
}

/** Reads what is there. Without a path nothing outlives the process. */
export function openProgress(path: string | undefined): Progress {
  const known = new Map<string, unknown>();
  if (path !== undefined && existsSync(path)) {
    for (const text of readFileSync(path, 'utf8').split('\n')) {
      if (text === '') continue;
      const { key, value } = JSON.parse(text) as { key: string; value: unknown };
      known.set(key, value);
    }
  }
  return {
    get: <T>(key: string) => (known.get(key) as T | undefined) ?? null,
    add: (key, value) => {
      known.set(key, value);
      if (path !== undefined) appendFileSync(path, `${JSON.stringify({ key, value })}\n`);
    },
  };
}
