import type { Case } from './case.ts';
import type { Deployment } from './deployment.ts';
import { World } from './world.ts';

/** Above every bound of waiting within a case. */
const CASE_MS_MAX = 600_000;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Runs the cases one after the other; the first failure ends the run, since the rest builds on it. True if all passed. */
export async function runSuite(deployment: Deployment, cases: readonly Case[]): Promise<boolean> {
  const rows = new Map<string, unknown>();
  let passed = 0;
  let notApplicable = 0;
  for (const one of cases) {
    const run = bound(one, deployment, rows);
    if (run === null) {
      notApplicable += 1;
      continue;
    }
    const startMs = performance.now();
    const seconds = (): string => ((performance.now() - startMs) / 1000).toFixed(1).padStart(6);
    try {
      await limited(run);
      passed += 1;
      say(`ok     ${seconds()} s  ${one.name}`);
    } catch (error) {
      say(`FAILED ${seconds()} s  ${one.name}`);
      say(error instanceof Error ? (error.stack ?? error.message) : String(error));
      say(`What was logged last:\n${deployment.evidence()}`);
      say(`end-to-end: FAILED on ${deployment.target} after ${passed} tests passed`);
      return false;
    }
  }
  say(`end-to-end: ${passed} tests passed on ${deployment.target}, ${notApplicable} not applicable there`);
  return true;
}

/** The case with what it works on; null where it does not apply. */
function bound(one: Case, deployment: Deployment, rows: Map<string, unknown>): (() => Promise<void>) | null {
  const note = (line: string): void => say(`                ${line}`);
  if (one.only === undefined) return () => one.run(new World(deployment, note, rows));
  if (one.only === 'local') {
    return deployment.target === 'local' ? () => one.run(new World(deployment, note, rows)) : null;
  }
  return deployment.target === 'cloud' ? () => one.run(new World(deployment, note, rows)) : null;
}

async function limited(run: () => Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not over within ${CASE_MS_MAX / 1000} s`)), CASE_MS_MAX);
  });
  try {
    await Promise.race([run(), late]);
  } finally {
    clearTimeout(timer);
  }
}
