import type { SimulatedControlPlane } from './control-plane.ts';
import type { MetadataWatch } from './metadata-watch.ts';
import type { SimulatedNetwork } from './network.ts';
import type { SimulatedNode } from './nodes.ts';
import type { VirtualTime } from './virtual-time.ts';
import { CONTROL_PLANE, clientNetwork } from './wire.ts';

/** A cluster is set up as an operator does it: join tokens, nodes, a table; all by the API. */

const SETUP_MS_MAX = 60_000;
const REQUEST_TIMEOUT_MS = 5_000;
/** Enough for every start over an empty directory in a run. */
const JOIN_TOKENS_SPARE = 20;
/** What the cluster does by itself about lost nodes and uneven load begins within a run. */
const IMPATIENT = { check_every_seconds: 5, repair_after_seconds: 10 };

export interface ClusterToSetUp {
  readonly time: VirtualTime;
  readonly network: SimulatedNetwork;
  readonly metadata: MetadataWatch;
  readonly nodes: readonly SimulatedNode[];
  readonly controlPlane: SimulatedControlPlane;
  /** Tokens for nodes are put here. */
  readonly joinTokens: string[];
  /** Token of the administrator who does it. */
  readonly admin: string;
  readonly table: {
    readonly table: string;
    readonly pre_split: readonly string[];
    readonly replication_factor: number;
  };
  /** True: repairs and rebalances begin soon. */
  readonly impatient: boolean;
}

/** Runs until the table is active. Throws if a request is refused, or if it takes too long. */
export async function setUpCluster(cluster: ClusterToSetUp): Promise<void> {
  const { time, network, metadata, nodes, controlPlane, joinTokens, admin, table, impatient } = cluster;
  const operator = { host: 'operator', process: time.processEnvironment({ name: 'operator' }) };
  const call = async (
    method: 'GET' | 'POST' | 'PUT',
    path: string,
    body: unknown,
  ): Promise<Record<string, unknown>> => {
    const answer = await clientNetwork(network, operator).call({
      method,
      url: `http://${CONTROL_PLANE.host}:${CONTROL_PLANE.port}${path}`,
      bearer: admin,
      body,
      timeoutMs: REQUEST_TIMEOUT_MS,
    });
    if (answer.kind !== 'ANSWERED' || answer.status !== 200)
      throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
    return answer.body as Record<string, unknown>;
  };
  let ready = false;
  const steps = async (): Promise<void> => {
    for (let i = 0; i < nodes.length + JOIN_TOKENS_SPARE; i++)
      joinTokens.push(String((await call('POST', '/cluster/join-tokens', {}))['join_token']));
    controlPlane.start();
    for (const node of nodes) node.start();
    while (metadata.liveness.size < nodes.length) await operator.process.timers.sleep(100);
    await call('POST', '/tables', table);
    while ((await call('GET', `/tables/${table.table}`, null))['state'] !== 'ACTIVE')
      await operator.process.timers.sleep(200);
    if (impatient) await call('PUT', '/config/rebalance', IMPATIENT);
    ready = true;
  };
  const failed = (error: unknown): void => time.fail(error instanceof Error ? error : new Error(String(error)));
  operator.process.deliver(0, () => void steps().catch(failed));
  if (!(await time.run(() => ready, SETUP_MS_MAX)))
    throw new Error(`the table was not active after ${SETUP_MS_MAX} ms`);
}
