import { planNodes } from '../../local/node-processes.ts';
import type { NodePlan } from '../../local/node-processes.ts';
import type { BusEvent } from './events-queue.ts';
import type { Answer, CallOptions } from './http.ts';

/**
 * A running Shardkeeper, seen from outside: what `npm start` gives on one machine, or what `cdk deploy` put behind an
 * AWS-compatible endpoint, with real data nodes as processes. Cases are written against this and know no more.
 */
export type Deployment = LocalDeployment | CloudDeployment;
export type Target = Deployment['target'];

/** What both targets have. */
export interface CommonDeployment {
  /** Of the REST API, without a slash at its end. */
  readonly url: string;
  readonly adminToken: string;
  /** The data nodes that run from the start. */
  readonly nodes: readonly NodePlan[];
  /** Folder in which the nodes note every answer that they give as leaders. */
  readonly serveLogs: string;
  /** Answers to whoever shows no good token, or one that is not for the REST API. */
  readonly deniedStatuses: readonly number[];
  /** One call of the REST API. */
  readonly call: (method: string, path: string, options?: CallOptions) => Promise<Answer>;
  /** Process id of a data node. */
  readonly pidOf: (nodeId: string) => number;
  /** After its process was killed: until a new one runs over the same directory. */
  readonly restarted: (nodeId: string, killedPid: number) => Promise<void>;
  /** The ends of the logs, for the report of a failure. */
  readonly evidence: () => string;
  /** Ends everything that was started, and takes its files away. */
  readonly stop: () => Promise<void>;
}

export interface LocalDeployment extends CommonDeployment {
  readonly target: 'local';
  /** Ctrl-C, and `npm start` over the same directory; answers the process ids that ran before. */
  readonly restartAll: () => Promise<readonly number[]>;
}

export interface CloudDeployment extends CommonDeployment {
  readonly target: 'cloud';
  /** By the Function URL of a hot entry: the function checks the token itself. */
  readonly hot: (entry: HotEntry, method: string, path: string, options?: CallOptions) => Promise<Answer>;
  /** Waits for an event of this type in the queue, with these fields in its payload. */
  readonly event: (type: string, payload: Readonly<Record<string, unknown>>, withinMs: number) => Promise<BusEvent>;
  /** What a data node logged. */
  readonly logOf: (nodeId: string) => string;
  /** The events of an execution's history, in order. */
  readonly executionHistory: (executionArn: string) => Promise<readonly ExecutionEvent[]>;
}

export interface ExecutionEvent {
  readonly type: string;
  /** The state that was entered; null for other events. */
  readonly state: string | null;
}

export type HotEntry = 'heartbeat' | 'routes';

/** Four nodes in three zones: three replicas find three nodes also while one is dead. Named as `npm start` names them. */
export const NODE_PLACES: readonly NodePlan[] = planNodes(4, 3);
