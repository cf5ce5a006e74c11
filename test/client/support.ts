import { ShardkeeperClient } from '../../client/client.ts';
import type { HttpCall, HttpOutcome } from '../../client/ports.ts';
import type { DataErrorCode, Route } from '../../shared/contracts/data/rows.ts';
import { DATA_ERROR_STATUS } from '../../shared/contracts/data/rows.ts';
import { seededRandom } from '../simulation/random.ts';
import { VirtualTime } from '../simulation/virtual-time.ts';

/** A cluster as a script: what the control plane knows, and how nodes answer. Under virtual time. */
export const CONTROL_PLANE = 'http://cp';
export const LATENCY_MS = 2;

export function route(overrides: Partial<Route> & { node?: string } = {}): Route {
  const { node = 'n1', ...rest } = overrides;
  return {
    table: 't',
    shard_id: 'shard-1',
    key_type: 'string',
    start_key: '',
    end_key: null,
    epoch: 1,
    generation: 1,
    leader: { node_id: node, host: node, port: 1, node_epoch: 1 },
    replicas: [],
    ...rest,
  };
}

export type NodeAnswer =
  | { readonly kind: 'ANSWER'; readonly status: number; readonly body: unknown }
  /** Nobody answers; the call ends at its timeout. */
  | 'HANGS'
  | 'CONNECTION_REFUSED'
  | 'CONNECTION_RESET';

export const written: NodeAnswer = {
  kind: 'ANSWER',
  status: 200,
  body: { status: 'success', timestamp: '1.0', epoch: 1 },
};
export const refused = (code: DataErrorCode, extra: { route?: Route; retry_after_ms?: number } = {}): NodeAnswer => ({
  kind: 'ANSWER',
  status: DATA_ERROR_STATUS[code],
  body: { code, message: code, route: null, retry_after_ms: null, ...extra },
});

export interface SentToNode {
  readonly node: string;
  readonly verb: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly atMs: number;
}

export function scripted(world: {
  routes: Route[];
  node: (request: SentToNode, count: number) => NodeAnswer;
  controlPlane?: (path: string) => HttpOutcome | null;
}) {
  const time = new VirtualTime();
  const process = time.processEnvironment({ name: 'client' });
  const sent: SentToNode[] = [];
  const controlPlaneCalls: { path: string; body: unknown }[] = [];
  const environment = { clock: process.clock, timers: process.timers, random: seededRandom('client') };

  const controlPlane = (path: string, body: unknown): HttpOutcome => {
    controlPlaneCalls.push({ path, body });
    const own = world.controlPlane?.(path) ?? null;
    if (own !== null) return own;
    if (path === '/auth/token') {
      const token = {
        status: 'success',
        token: `token-${controlPlaneCalls.length}`,
        expires_at: '2030-01-01T00:00:00Z',
      };
      return { kind: 'ANSWERED', status: 200, body: token, retryAfterSeconds: null };
    }
    const routes = { routes: world.routes, next_cursor: null };
    return { kind: 'ANSWERED', status: 200, body: routes, retryAfterSeconds: null };
  };

  const call = async (request: HttpCall): Promise<HttpOutcome> => {
    const url = new URL(request.url);
    if (request.url.startsWith(CONTROL_PLANE)) {
      const outcome = controlPlane(url.pathname, request.body);
      await environment.timers.sleep(LATENCY_MS);
      return outcome;
    }
    const body = structuredClone(request.body) as Record<string, unknown>;
    const entry = { node: url.hostname, verb: url.pathname.replace('/data/', ''), body, atMs: time.nowMs() };
    sent.push(entry);
    const answer = world.node(entry, sent.length);
    if (answer === 'HANGS') {
      await environment.timers.sleep(request.timeoutMs, request.signal);
      return { kind: 'UNREACHABLE', processed: 'UNKNOWN', message: 'no answer' };
    }
    await environment.timers.sleep(LATENCY_MS);
    if (answer === 'CONNECTION_REFUSED') return { kind: 'UNREACHABLE', processed: 'NOT_SENT', message: 'refused' };
    if (answer === 'CONNECTION_RESET') return { kind: 'UNREACHABLE', processed: 'UNKNOWN', message: 'reset' };
    return { kind: 'ANSWERED', status: answer.status, body: answer.body, retryAfterSeconds: null };
  };

  const client = new ShardkeeperClient({
    url: CONTROL_PLANE,
    token: 'admin',
    network: { call },
    environment,
    deadlineMs: 5_000,
  });
  /** Runs virtual time until the work settles. */
  const settle = async <T>(work: Promise<T>): Promise<{ value: T } | { error: unknown }> => {
    let settled: { value: T } | { error: unknown } | null = null;
    work.then(
      (value) => (settled = { value }),
      (error: unknown) => (settled = { error }),
    );
    await time.run(() => settled !== null, time.nowMs() + 120_000);
    if (settled === null) throw new Error('the work never settled');
    return settled;
  };
  return { time, client, sent, controlPlaneCalls, settle };
}
