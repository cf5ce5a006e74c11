import type { Call } from './call.ts';
import { decisionCalls } from './decisions.ts';
import { clusterCalls, nodeCalls } from './nodes.ts';
import { nodeCareCalls } from './node-care.ts';
import { operationCalls } from './operations.ts';
import { placementCalls } from './placement.ts';
import { rebalanceCalls } from './rebalance.ts';
import { replicationCalls } from './replication.ts';
import { recoveryCalls } from './recovery.ts';
import { routeCalls } from './routes.ts';
import { shardCalls } from './shards.ts';
import { splitMergeCalls } from './split-merge.ts';
import { systemCalls } from './system.ts';
import { tableCalls } from './tables.ts';

/** Every call of the REST API by name. */
export const calls = {
  ...nodeCalls,
  ...nodeCareCalls,
  ...clusterCalls,
  ...shardCalls,
  ...splitMergeCalls,
  ...rebalanceCalls,
  ...placementCalls,
  ...replicationCalls,
  ...tableCalls,
  ...routeCalls,
  ...decisionCalls,
  ...operationCalls,
  ...recoveryCalls,
  ...systemCalls,
} as const satisfies Record<string, Call>;
export type CallName = keyof typeof calls;
export type Calls = typeof calls;
