import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** How the kernel chooses between the data nodes and the other programs of the benchmark. */
export type NodesPriority = 'REAL_TIME' | 'AS_OTHERS';

/** Lowest real-time priority: above every program without one. */
const PRIORITY = '1';

const run = promisify(execFile);

/**
 * Data nodes have machines of their own; here they share the processors with each other, with what stands for Lambda, and with the clients. Those run
 * on what the nodes leave from now on (SCHED_FIFO, sched(7)): no node is stopped in the middle of a critical section for the sake of a client. Needs
 * the right to do so, and `chrt`; without them all stays as it is, and the answer says so.
 */
export async function putNodesFirst(pids: readonly number[]): Promise<NodesPriority> {
  try {
    for (const pid of pids) await run('chrt', ['--all-tasks', '--fifo', '--pid', PRIORITY, String(pid)]);
    return 'REAL_TIME';
  } catch {
    return 'AS_OTHERS';
  }
}
