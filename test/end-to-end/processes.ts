import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Processes that a run starts and ends by their ids, and what they wrote. */

/** A process that was asked to stop and did not is killed after this long. */
const STOP_MS_MAX = 20_000;
/** Of a log in the report of a failure. */
const TAIL_LINES = 15;

export function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Sends the signal by `signal`, waits for the end, and kills by `kill` what does not end. */
export async function endProcess(child: ChildProcess, how: { signal: () => void; kill: () => void }): Promise<void> {
  if (hasEnded(child)) return;
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  how.signal();
  const killer = setTimeout(how.kill, STOP_MS_MAX);
  await exited;
  clearTimeout(killer);
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The pid that a data node keeps in its directory; null before its first start. */
export function pidIn(nodeDir: string): number | null {
  const pid = Number(textOf(join(nodeDir, 'pid')));
  return Number.isInteger(pid) && pid > 1 ? pid : null;
}

/** The last lines of each `log` below a folder of nodes. */
export function nodeLogs(folder: string): string {
  let names: readonly string[] = [];
  try {
    names = readdirSync(folder);
  } catch {
    return `no nodes in ${folder}`;
  }
  return names.map((name) => `-- ${name}\n${tailOf(join(folder, name, 'log'))}`).join('\n');
}

export const tailOf = (file: string): string => textOf(file).trimEnd().split('\n').slice(-TAIL_LINES).join('\n');

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
