import { ROUTE_BATCH_KEYS_MAX, routeCalls } from '../shared/contracts/api/routes.ts';
import type { Route } from '../shared/contracts/data/rows.ts';
import type { KeyType } from '../shared/contracts/keys.ts';
import { LIST_LIMIT_MAX } from '../shared/contracts/primitives.ts';
import type { ControlPlane } from './control-plane.ts';
import { ClientError } from './errors.ts';
import type { ClientEnvironment } from './ports.ts';
import { LeaderBook, TableRoutes } from './route-cache.ts';
import type { CachedRoute } from './route-cache.ts';
import { followRoutes } from './route-follower.ts';

/**
 * Routes of all tables: cached, fetched when missing. Keys that miss together go into one request, and of a shard whose
 * leader is in doubt one refresh is under way at a time, however many requests wait for it.
 */
const TIMEOUT_MS = 2_000;
/** A shard's route is asked for again at the earliest this long after it was last asked for: no leadership is handed over faster. */
const REFRESH_INTERVAL_MS = 25;
/** Shards whose last refresh is remembered, of one table; beyond it all are forgotten, which costs one request each. */
const REFRESHES_REMEMBERED_MAX = 4_096;
/** Route requests under way for one table. */
const REQUESTS_IN_FLIGHT_MAX = 4;

export interface FollowOptions {
  readonly environment: ClientEnvironment;
  readonly signal: AbortSignal;
}

interface Waiter {
  readonly resolve: (route: CachedRoute) => void;
  readonly reject: (error: ClientError) => void;
}

interface Missing {
  readonly waiters: Waiter[];
  /** The cached route is in doubt: only an answer will do, and soon. */
  inDoubt: boolean;
}

interface TableState {
  /** A follower is under way; 'NEVER': the control plane does not serve changes. */
  following: 'NO' | 'YES' | 'NEVER';
  /** Looked up since the follower asked last. */
  used: boolean;
  routes: TableRoutes | null;
  /** Keys that no request carries yet. */
  readonly missing: Map<string, Missing>;
  readonly refreshes: Map<string, Promise<CachedRoute>>;
  /** When the route of a shard was last asked for. */
  readonly refreshedAtMs: Map<string, number>;
  inFlight: number;
  flushing: boolean;
}

export class Routes {
  private readonly controlPlane: ControlPlane;
  private readonly clock: ClientEnvironment['clock'];
  private readonly tables = new Map<string, TableState>();
  private readonly book = new LeaderBook();
  private readonly follow: FollowOptions | null;

  /** `follow`: tables that are used are followed (route-follower.ts) until its signal aborts; null: none is. */
  constructor(controlPlane: ControlPlane, clock: ClientEnvironment['clock'], follow: FollowOptions | null = null) {
    this.controlPlane = controlPlane;
    this.clock = clock;
    this.follow = follow;
  }

  /** The cached route of `key` ('' is the start of the table), or null. */
  cached(table: string, key: string): CachedRoute | null {
    const state = this.tables.get(table);
    if (state === undefined) return null;
    state.used = true;
    if (state.following === 'NO' && this.follow !== null) this.startFollowing(table, state, this.follow);
    return state.routes?.lookup(key) ?? null;
  }

  /** The route of `key`, from the cache or the control plane. Throws `ClientError`. */
  async resolve(table: string, key: string): Promise<CachedRoute> {
    return this.cached(table, key) ?? this.fetch(table, key, { inDoubt: false });
  }

  /**
   * A route newer than `used`, if the cache or the control plane has one; else the present one, which may be as old as
   * REFRESH_INTERVAL_MS. Throws `ClientError`.
   */
  async refresh(table: string, key: string, used: CachedRoute): Promise<CachedRoute> {
    const cached = this.cached(table, key);
    if (cached !== null && isNewer(cached, used)) return cached;
    const { refreshes, refreshedAtMs } = this.state(table);
    const underWay = refreshes.get(used.shardId);
    if (underWay !== undefined) {
      await underWay;
      // The refresh may have been for another key of a shard that no longer holds this one.
      return this.resolve(table, key);
    }
    const nowMs = this.clock.monotonicMs();
    const lastMs = refreshedAtMs.get(used.shardId);
    if (cached !== null && lastMs !== undefined && nowMs < lastMs + REFRESH_INTERVAL_MS) return cached;
    if (refreshedAtMs.size >= REFRESHES_REMEMBERED_MAX) refreshedAtMs.clear();
    refreshedAtMs.set(used.shardId, nowMs);
    const refresh = this.fetch(table, key, { inDoubt: true }).finally(() => refreshes.delete(used.shardId));
    refreshes.set(used.shardId, refresh);
    return refresh;
  }

  /** Takes a route that came with an answer. */
  learn(route: Route): void {
    const state = this.state(route.table);
    if (state.routes?.keyType !== route.key_type) state.routes = new TableRoutes(route.key_type, this.book);
    state.routes.learn(route);
  }

  /** Null while no route of the table is cached. */
  keyType(table: string): KeyType | null {
    return this.tables.get(table)?.routes?.keyType ?? null;
  }

  /** Loads all routes of a table, a page at a time. Answers how many. Throws `ClientError`. */
  async prefetch(table: string): Promise<number> {
    let fromKey: string | null = null;
    let count = 0;
    for (;;) {
      const routes: Route[] = await this.ask(table, { from_key: fromKey, limit: LIST_LIMIT_MAX });
      count += routes.length;
      const last = routes.at(-1);
      if (last === undefined || last.end_key === null) return count;
      fromKey = last.end_key;
    }
  }

  private fetch(table: string, key: string, { inDoubt }: { readonly inDoubt: boolean }): Promise<CachedRoute> {
    const state = this.state(table);
    return new Promise((resolve, reject) => {
      const missing = state.missing.get(key) ?? { waiters: [], inDoubt };
      state.missing.set(key, missing);
      missing.inDoubt ||= inDoubt;
      missing.waiters.push({ resolve, reject });
      if (state.flushing) return;
      state.flushing = true;
      // What misses in this turn of the caller's code goes together.
      void Promise.resolve().then(() => {
        state.flushing = false;
        this.flush(table, state);
      });
    });
  }

  /**
   * Sends what is missing. While a request is under way, others wait for its answer, which often brings their shards too; only full
   * requests go side by side, and those for routes in doubt, of which somebody waits for a new leader.
   */
  private flush(table: string, state: TableState): void {
    for (const [key, { waiters, inDoubt }] of state.missing) {
      const route = inDoubt ? null : this.cached(table, key);
      if (route === null) continue;
      state.missing.delete(key);
      for (const waiter of waiters) waiter.resolve(route);
    }
    while (state.missing.size > 0 && state.inFlight < this.requestsMax(state)) {
      const batch = [...state.missing].slice(0, ROUTE_BATCH_KEYS_MAX);
      for (const [key] of batch) state.missing.delete(key);
      state.inFlight++;
      void this.answer(
        table,
        batch.map(([key, { waiters }]) => [key, waiters]),
      ).then(() => {
        state.inFlight--;
        this.flush(table, state);
      });
    }
  }

  private requestsMax({ missing }: TableState): number {
    const atOnce = missing.size >= ROUTE_BATCH_KEYS_MAX || [...missing.values()].some(({ inDoubt }) => inDoubt);
    return atOnce ? REQUESTS_IN_FLIGHT_MAX : 1;
  }

  private async answer(table: string, batch: readonly (readonly [string, readonly Waiter[]])[]): Promise<void> {
    const keys = batch.map(([key]) => key).filter((key) => key !== '');
    let failure: ClientError | null = null;
    try {
      if (keys.length < batch.length) await this.ask(table, { from_key: null, limit: 1 });
      if (keys.length > 0) await this.ask(table, { keys });
    } catch (error) {
      failure = error instanceof ClientError ? error : new ClientError('RETRYABLE', String(error));
    }
    if (failure?.code === 'INVALID_REQUEST' && batch.length > 1) {
      // One bad key must not fail the others: each is asked alone.
      for (const entry of batch) await this.answer(table, [entry]);
      return;
    }
    for (const [key, waiters] of batch) {
      const route = failure === null ? this.cached(table, key) : null;
      for (const waiter of waiters) {
        if (route !== null) waiter.resolve(route);
        else waiter.reject(failure ?? new ClientError('RETRYABLE', `no route of ${table} covers the key`));
      }
    }
  }

  private async ask(table: string, body: unknown): Promise<Route[]> {
    const outcome = await this.controlPlane.call({
      method: 'POST',
      path: `/routes/${encodeURIComponent(table)}/batch`,
      body,
      timeoutMs: TIMEOUT_MS,
    });
    if (outcome.kind === 'UNREACHABLE') throw new ClientError('RETRYABLE', outcome.message);
    if (outcome.kind === 'REFUSED') throw refusal(outcome.status, outcome.problem);
    const parsed = routeCalls.batchRoutes.response.safeParse(outcome.body);
    if (!parsed.success) throw new ClientError('RETRYABLE', 'the answer holds no routes');
    for (const route of parsed.data.routes) this.learn(route);
    return parsed.data.routes;
  }

  private startFollowing(table: string, state: TableState, follow: FollowOptions): void {
    state.following = 'YES';
    const options = {
      table,
      controlPlane: this.controlPlane,
      environment: follow.environment,
      take: (routes: readonly Route[]) => state.routes?.correct(routes),
      wasUsed: () => {
        const { used } = state;
        state.used = false;
        return used;
      },
    };
    void followRoutes(options, follow.signal).then((end) => {
      state.following = end === 'NOT_SERVED' || end === 'ABORTED' ? 'NEVER' : 'NO';
    });
  }

  private state(table: string): TableState {
    let state = this.tables.get(table);
    if (state === undefined) {
      state = {
        following: 'NO',
        used: true,
        routes: null,
        missing: new Map(),
        refreshes: new Map(),
        refreshedAtMs: new Map(),
        inFlight: 0,
        flushing: false,
      };
      this.tables.set(table, state);
    }
    return state;
  }
}

/** True if `route` may lead elsewhere than `used` did. */
export const isNewer = (route: CachedRoute, used: CachedRoute): boolean =>
  route.shardId !== used.shardId ||
  route.epoch > used.epoch ||
  route.generation > used.generation ||
  route.leader.nodeEpoch > used.leader.nodeEpoch;

function refusal(status: number, problem: { readonly code: string; readonly detail: string }): ClientError {
  switch (status) {
    case 400:
      return new ClientError('INVALID_REQUEST', problem.detail);
    case 401:
      return new ClientError('UNAUTHENTICATED', problem.detail);
    case 403:
      return new ClientError('FORBIDDEN', problem.detail);
    case 404:
      return new ClientError('TABLE_NOT_FOUND', problem.detail);
    default:
      return new ClientError('RETRYABLE', `${problem.code}: ${problem.detail}`);
  }
}
