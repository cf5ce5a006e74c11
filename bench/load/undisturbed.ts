import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** How the kernel gives processors to the data nodes and the load generator. */
export type Scheduling = 'FIRST_COME' | 'SHARED';

/** Lowest real-time priority: before every program without one. */
const PRIORITY = '1';

const run = promisify(execFile);

/**
 * Data nodes and clients have machines of their own; here they and what stands for Lambda share the processors. From now on these processes, all of
 * one priority, are not stopped for one another (SCHED_FIFO, sched(7)): who has a processor gives it back when it waits for something, so that no node
 * is stopped in the middle of a critical section. All other programs run on what is left. Needs the right to do so, and `chrt`; without
 * them all stays as it is, and the answer says so.
 */
export async function runUndisturbed(pids: readonly number[]): Promise<Scheduling> {
  const changed: number[] = [];
  try {
    for (const pid of pids) {
      await run('chrt', ['--all-tasks', '--fifo', '--pid', PRIORITY, String(pid)]);
      changed.push(pid);
    }
    return 'FIRST_COME';
  } catch {
    // All of them or none: some alone would starve the others.
    for (const pid of changed) await run('chrt', ['--all-tasks', '--other', '--pid', '0', String(pid)]);
    return 'SHARED';
  }
}
