import { dataErrorSchema } from '../shared/contracts/data/rows.ts';
import type { DataError } from '../shared/contracts/data/rows.ts';
import type { DataToken } from './data-token.ts';
import { ClientError } from './errors.ts';
import type { Outcome } from './errors.ts';
import type { ClientEnvironment, ClientNetwork, HttpOutcome } from './ports.ts';
import type { CachedRoute } from './route-cache.ts';
import { isNewer } from './routes.ts';
import type { Routes } from './routes.ts';

/**
 * One logical request to the leader of a key, repeated until it is acknowledged, finally refused, or its deadline passes.
 * Every attempt of a write carries the same write id, so that it takes effect once (R6), and the epoch of the newest route
 * known, so that a node that missed an election learns of it.
 */
export interface RequestSpec<T> {
  readonly table: string;
  /** As callers write it; '' is the start of the table. */
  readonly key: string;
  readonly verb: 'get' | 'put' | 'delete' | 'batch' | 'scan';
  /** The body without table, shard and epoch. */
  readonly body: Readonly<Record<string, unknown>>;
  /** Reads the answer; null if it is none. */
  readonly parse: (body: unknown) => T | null;
  readonly effect: 'READ' | 'WRITE';
  readonly deadlineMs: number;
  /**
   * Keys that the shard of `key` must hold too. Once it does not, since a split, the request ends with SPLIT_MEANWHILE: no shard takes it as it is.
   */
  readonly together?: readonly string[];
}

export interface RequesterDeps {
  readonly environment: ClientEnvironment;
  readonly network: ClientNetwork;
  readonly routes: Routes;
  readonly token: DataToken;
}

/** A leader that did not answer in this time is doubted: its route is looked up while the attempt goes on. */
const DOUBT_AFTER_MS = 300;
/** Longest wait for one attempt: above the second that a leader may need to drop a dead follower (R3). */
const ATTEMPT_MS_MAX = 2_000;
/** The first pause is half to all of it, and each one after it up to twice as long: a leader that is handed over has a successor within 20 to 50 ms. */
const BACKOFF_MS_MIN = 8;
const BACKOFF_MS_MAX = 400;
/** Attempts in a row that a refusal's own route may start at once; then the backoff applies. */
const REDIRECTS_MAX = 3;

type Step<T> =
  | { readonly kind: 'DONE'; readonly value: T }
  | { readonly kind: 'FINAL'; readonly error: ClientError }
  /** A newer route is known: at once. */
  | { readonly kind: 'REDIRECTED'; readonly problem: string; readonly mayBeApplied: boolean }
  | {
      readonly kind: 'AGAIN';
      readonly problem: string;
      readonly mayBeApplied: boolean;
      readonly route: 'REFRESH' | 'KEEP';
      readonly afterMs: number | null;
    };

export class Requester {
  private readonly deps: RequesterDeps;

  constructor(deps: RequesterDeps) {
    this.deps = deps;
  }

  /** Throws `ClientError`; of a write its `outcome` says whether some attempt may have been applied. */
  async run<T>(spec: RequestSpec<T>): Promise<T> {
    const { clock, timers, random } = this.deps.environment;
    const startedMs = clock.monotonicMs();
    const deadlineAtMs = startedMs + spec.deadlineMs;
    let outcome: Outcome = 'NOT_APPLIED';
    let problem = 'nothing was tried';
    let backoffMs = BACKOFF_MS_MIN;
    let redirects = 0;
    let doubted: CachedRoute | null = null;
    let isFirst = true;
    for (;;) {
      const leftMs = deadlineAtMs - clock.monotonicMs();
      if (leftMs <= 0) throw deadlinePassed(spec, outcome, problem);
      const { step, route }: { step: Step<T>; route: CachedRoute | null } = await this.attempt(
        isFirst ? { ...spec, together: [] } : spec, // its rows were put together by the routes that are cached
        doubted,
        leftMs,
      );
      isFirst = false;
      if (step.kind === 'DONE') return step.value;
      if (step.kind === 'FINAL') throw withOutcome(step.error, outcome);
      if (step.mayBeApplied && spec.effect === 'WRITE') outcome = 'UNKNOWN';
      problem = step.problem;
      doubted = step.kind === 'AGAIN' && step.route === 'REFRESH' ? (route ?? doubted) : null;
      if (step.kind === 'REDIRECTED' && ++redirects <= REDIRECTS_MAX) continue;
      redirects = 0;
      const askedMs = step.kind === 'AGAIN' ? (step.afterMs ?? 0) : 0;
      const pauseMs = Math.max(backoffMs * (0.5 + random.next() / 2), askedMs);
      backoffMs = Math.min(backoffMs * 2, BACKOFF_MS_MAX);
      await timers.sleep(Math.max(0, Math.min(pauseMs, deadlineAtMs - clock.monotonicMs())));
    }
  }

  private async attempt<T>(
    spec: RequestSpec<T>,
    doubted: CachedRoute | null,
    leftMs: number,
  ): Promise<{ step: Step<T>; route: CachedRoute | null }> {
    let route: CachedRoute;
    let token: string;
    try {
      const found = this.deps.routes;
      route = await this.within(
        leftMs,
        doubted === null ? found.resolve(spec.table, spec.key) : found.refresh(spec.table, spec.key, doubted),
      );
      if (await this.within(leftMs, this.isParted(spec, route))) return { step: parted(spec), route };
      token = await this.within(leftMs, this.deps.token.get());
    } catch (error) {
      return { step: beforeSending(error), route: null };
    }
    return { step: await this.exchange(spec, route, token, leftMs), route };
  }

  /** Whether some key that has to go together with the request's lies in another shard than `route`. Throws `ClientError`. */
  private async isParted({ table, together = [] }: RequestSpec<unknown>, route: CachedRoute): Promise<boolean> {
    for (const key of together) {
      const { shardId } = this.deps.routes.cached(table, key) ?? (await this.deps.routes.resolve(table, key));
      if (shardId !== route.shardId) return true;
    }
    return false;
  }

  private async exchange<T>(spec: RequestSpec<T>, route: CachedRoute, token: string, leftMs: number): Promise<Step<T>> {
    const done = new AbortController();
    const superseded = new AbortController();
    const watch = this.watch(spec, route, done.signal, superseded);
    const host = route.leader.host.includes(':') ? `[${route.leader.host}]` : route.leader.host;
    const outcome = await this.deps.network.call({
      method: 'POST',
      url: `http://${host}:${route.leader.port}/data/${spec.verb}`,
      bearer: token,
      body: { table: spec.table, shard_id: route.shardId, epoch: route.epoch, ...spec.body },
      timeoutMs: Math.max(1, Math.min(ATTEMPT_MS_MAX, leftMs)),
      signal: superseded.signal,
    });
    done.abort(OVER);
    void watch;
    return this.judge(spec, route, token, outcome, superseded.signal.aborted);
  }

  /** While an attempt hangs: asks for the route, and gives the attempt up once another leader is known. */
  private async watch(
    spec: RequestSpec<unknown>,
    used: CachedRoute,
    done: AbortSignal,
    superseded: AbortController,
  ): Promise<void> {
    const { timers, random } = this.deps.environment;
    for (;;) {
      await timers.sleep(DOUBT_AFTER_MS * (0.75 + random.next() / 2), done);
      if (done.aborted) return;
      try {
        const present = await this.deps.routes.refresh(spec.table, spec.key, used);
        if (!done.aborted && isNewer(present, used) && leadsElsewhere(present, used)) {
          superseded.abort();
          return;
        }
      } catch (error) {
        // The control plane does not answer either: the attempt goes on. Anything but a ClientError is a bug.
        if (!(error instanceof ClientError)) throw error;
      }
    }
  }

  private judge<T>(
    spec: RequestSpec<T>,
    route: CachedRoute,
    token: string,
    outcome: HttpOutcome,
    superseded: boolean,
  ): Step<T> {
    if (outcome.kind === 'UNREACHABLE') {
      const mayBeApplied = outcome.processed === 'UNKNOWN';
      return superseded
        ? { kind: 'REDIRECTED', problem: 'the leader changed', mayBeApplied }
        : { kind: 'AGAIN', problem: outcome.message, mayBeApplied, route: 'REFRESH', afterMs: null };
    }
    if (outcome.status === 200) {
      const value = spec.parse(outcome.body);
      if (value !== null) return { kind: 'DONE', value };
    }
    const refusal = dataErrorSchema.safeParse(outcome.body);
    if (outcome.status === 200 || !refusal.success) {
      const problem = `${route.leader.nodeId} answered ${outcome.status} in no known form`;
      return { kind: 'AGAIN', problem, mayBeApplied: true, route: 'REFRESH', afterMs: null };
    }
    return this.judgeRefusal(spec, route, token, refusal.data);
  }

  private judgeRefusal<T>(spec: RequestSpec<T>, route: CachedRoute, token: string, refusal: DataError): Step<T> {
    const problem = `${refusal.code}: ${refusal.message}`;
    const again = (kind: 'REFRESH' | 'KEEP', mayBeApplied = false): Step<T> => ({
      kind: 'AGAIN',
      problem,
      mayBeApplied,
      route: kind,
      afterMs: refusal.retry_after_ms,
    });
    switch (refusal.code) {
      case 'STALE_EPOCH':
      case 'NOT_LEADER':
      case 'KEY_OUT_OF_RANGE':
      case 'SHARD_UNKNOWN': {
        if (refusal.route !== null && refusal.route.table === spec.table) this.deps.routes.learn(refusal.route);
        const present = this.deps.routes.cached(spec.table, spec.key);
        if (present !== null && isNewer(present, route)) return { kind: 'REDIRECTED', problem, mayBeApplied: false };
        return again('REFRESH');
      }
      case 'NO_LEASE':
      case 'NOT_ENOUGH_REPLICAS':
      case 'STORAGE':
        return again('REFRESH');
      case 'THROTTLED':
        return again('KEEP');
      case 'UNKNOWN_OUTCOME':
        return again('REFRESH', true);
      case 'UNAUTHENTICATED':
        // It may have expired, or the node does not know the cluster's keys yet.
        this.deps.token.refused(token);
        return again('KEEP');
      case 'INVALID_REQUEST':
      case 'WRITE_ID_REUSED':
      case 'FORBIDDEN':
        return { kind: 'FINAL', error: new ClientError(refusal.code, refusal.message) };
    }
  }

  /** The work's answer, or RETRYABLE when `leftMs` pass first; the work itself goes on for others who wait for it. */
  private async within<V>(leftMs: number, work: Promise<V>): Promise<V> {
    const done = new AbortController();
    const late = this.deps.environment.timers.sleep(leftMs, done.signal).then((): never => {
      throw new ClientError('RETRYABLE', 'the control plane did not answer in time');
    });
    // Whichever loses the race is no unhandled rejection.
    late.catch(() => undefined);
    work.catch(() => undefined);
    try {
      return await Promise.race([work, late]);
    } finally {
      done.abort(OVER);
    }
  }
}

/** Why a timer is given up. Without a reason the controller makes an exception with a stack, for every request. */
const OVER = 'over';

const leadsElsewhere = (present: CachedRoute, used: CachedRoute): boolean =>
  present.shardId !== used.shardId || present.epoch > used.epoch || present.leader.nodeEpoch > used.leader.nodeEpoch;

const parted = ({ table, key, together = [] }: RequestSpec<unknown>): Step<never> => ({
  kind: 'FINAL',
  error: new ClientError(
    'SPLIT_MEANWHILE',
    `${together.length} rows of ${table} from key ${JSON.stringify(key)} on lie in several shards since a split; read them, and write again what is missing`,
  ),
});

function beforeSending(error: unknown): Step<never> {
  if (!(error instanceof ClientError)) throw error;
  return error.code === 'RETRYABLE'
    ? { kind: 'AGAIN', problem: error.message, mayBeApplied: false, route: 'KEEP', afterMs: null }
    : { kind: 'FINAL', error };
}

const withOutcome = (error: ClientError, outcome: Outcome): ClientError =>
  outcome === 'UNKNOWN' ? new ClientError(error.code, error.message, { outcome, cause: error.cause }) : error;

const deadlinePassed = (spec: RequestSpec<unknown>, outcome: Outcome, problem: string): ClientError =>
  new ClientError(
    'DEADLINE',
    `${spec.verb} on ${spec.table} got no final answer within ${spec.deadlineMs} ms; last problem: ${problem}`,
    { outcome, cause: new ClientError('RETRYABLE', problem) },
  );
