import type { NodeReport } from '../../../shared/contracts/node/heartbeat.ts';
import type { Deps } from '../../../shared/ports.ts';
import { report } from '../../../shared/usecases/reports.ts';
import { nodePrincipal } from '../../support/use-case-world.ts';
import type { MortalWorld } from '../../support/mortal-world.ts';

/** What nodes and careful callers do when a call fails: they call again. */

const ATTEMPTS_MAX = 20;
const RETRY_MS = 1_000;

/** Does something until it succeeds: an answer that failed, or that refuses, asks for another attempt. */
export async function untilDone(
  world: MortalWorld,
  name: string,
  work: (deps: Deps, attempt: number) => Promise<boolean>,
): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const done = await world.invoke(name, (deps) => work(deps, attempt)).catch(() => false);
    if (done) return;
    await world.base.deps.timers.sleep(RETRY_MS);
  }
  throw new Error(`${name} did not succeed in ${ATTEMPTS_MAX} attempts`);
}

/** A node reports under its first registration, until it is heard; what each report was answered is for the story's end to show. */
export const reportedBy = (world: MortalWorld, node: number, reports: NodeReport[]): Promise<void> =>
  untilDone(world, 'api-report', async (deps) => {
    const body = { node_epoch: 1, incarnation: `inc-${node}`, reports };
    return (await report(deps, nodePrincipal(node), { params: { node_id: `node-${node}` }, query: {}, body })).ok;
  });
