import type { Deployment } from './deployment.ts';

/** Does the work while a data node's process stands still (SIGSTOP), so that what waits for the node is still waiting. */
export async function whileFrozen<T>(deployment: Deployment, nodeId: string, work: () => Promise<T>): Promise<T> {
  const pid = deployment.pidOf(nodeId);
  process.kill(pid, 'SIGSTOP');
  try {
    return await work();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}
