import { routeCalls } from '../shared/contracts/api/routes.ts';
import type { Route } from '../shared/contracts/data/rows.ts';
import type { ControlPlane } from './control-plane.ts';
import type { ClientEnvironment } from './ports.ts';

/**
 * Follows the changes of one table's routes in the background, so that a leader that moved or a shard that was split is known before
 * a request runs into it. It starts at the present and corrects what is cached: a client that reads a few keys of a large table
 * neither loads nor keeps the rest. Nothing waits for it, and nothing depends on it: what it misses, a refused request finds out (R6).
 */

const TIMEOUT_MS = 5_000;
/** Changes of one answer: packs of the feed hold a hundred. */
const CHANGES_MAX = 1_000;
/** Pause after a failure, doubled up to the longest: milliseconds. */
const RETRY_MS = 1_000;
const RETRY_MS_MAX = 30_000;
/** Part of a pause that is drawn at random, so that clients do not ask in step. */
const JITTER = 0.2;
/** A table that was not used for so long (milliseconds) is not followed any more, until it is used again. */
const IDLE_MS = 600_000;

export interface FollowerOptions {
  readonly table: string;
  readonly controlPlane: ControlPlane;
  readonly environment: Pick<ClientEnvironment, 'clock' | 'timers' | 'random'>;
  /** Takes routes that changed, lowest generation first. */
  readonly take: (routes: readonly Route[]) => void;
  /** True if the table was used since it was asked last. */
  readonly wasUsed: () => boolean;
}

/** Why it stopped: nobody uses the table, it is gone, the control plane has no such call, or it was told to. */
export type FollowerEnd = 'IDLE' | 'NO_TABLE' | 'NOT_SERVED' | 'ABORTED';

/** Follows until there is no reason to. Never throws. */
export async function followRoutes(options: FollowerOptions, signal: AbortSignal): Promise<FollowerEnd> {
  const { clock, timers, random } = options.environment;
  let cursor: string | null = null;
  let failures = 0;
  let usedAtMs = clock.monotonicMs();
  while (!signal.aborted) {
    const answer = await ask(options, cursor);
    if (typeof answer === 'string' && answer !== 'EXPIRED' && answer !== 'FAILED') return answer;
    let pauseMs: number;
    if (answer === 'EXPIRED') {
      // What changed in between is found out by use, as without a follower.
      cursor = null;
      pauseMs = 0;
      failures += 1;
      if (failures > 1) pauseMs = RETRY_MS;
    } else if (answer === 'FAILED') {
      pauseMs = Math.min(RETRY_MS * 2 ** failures, RETRY_MS_MAX);
      failures += 1;
    } else {
      failures = 0;
      options.take(answer.routes);
      cursor = answer.next_cursor;
      pauseMs = answer.poll_after_ms;
    }
    if (options.wasUsed()) usedAtMs = clock.monotonicMs();
    else if (clock.monotonicMs() - usedAtMs > IDLE_MS) return 'IDLE';
    if (pauseMs > 0) await timers.sleep(pauseMs * (1 - JITTER / 2 + JITTER * random.next()), signal);
  }
  return 'ABORTED';
}

type Answer = ReturnType<typeof routeCalls.routeChanges.response.parse>;

async function ask(
  { table, controlPlane }: FollowerOptions,
  cursor: string | null,
): Promise<Answer | 'EXPIRED' | 'FAILED' | FollowerEnd> {
  const outcome = await controlPlane.call({
    method: 'GET',
    path: `/routes/${encodeURIComponent(table)}/changes`,
    query: { limit: CHANGES_MAX, ...(cursor === null ? { start: 'latest' } : { cursor }) },
    timeoutMs: TIMEOUT_MS,
  });
  if (outcome.kind === 'UNREACHABLE') return 'FAILED';
  if (outcome.kind === 'REFUSED') {
    const { code } = outcome.problem;
    if (code === 'CURSOR_EXPIRED') return 'EXPIRED';
    if (code === 'TABLE_NOT_FOUND') return 'NO_TABLE';
    // An earlier control plane does not know the call, or not the parameter.
    return outcome.status === 404 || outcome.status === 400 ? 'NOT_SERVED' : 'FAILED';
  }
  const parsed = routeCalls.routeChanges.response.safeParse(outcome.body);
  return parsed.success ? parsed.data : 'FAILED';
}
