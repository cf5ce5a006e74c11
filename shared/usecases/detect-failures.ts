import {
  BRAKE_LIMIT_MS,
  BRAKED_FENCE_INTERVAL_MS,
  brakedFenceBatch,
  LOST_WINDOW_MS,
  readBrake,
} from '../domain/brake.ts';
import type { BrakeReading } from '../domain/brake.ts';
import { fenceDeadlineMs, isExpired, isHeld, isMarkedExpired, observe } from '../domain/detector.ts';
import type { Observations } from '../domain/detector.ts';
import type { Timer } from '../domain/environment.ts';
import type { NodeId } from '../domain/ids.ts';
import { DRIFT_BOUND_MS, LEASE_PROFILES } from '../domain/lease.ts';
import type { LivenessRecord } from '../domain/lease.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import type { Deps, RecordWrite } from '../ports.ts';
import { everyRecord } from './every-record.ts';
import { createDetectorLease } from './detector-lease.ts';
import type { DetectorLease } from './detector-lease.ts';
import { sweepFencedNode, noteSweep } from './fail-over.ts';
import { asJson, decisionWrite, noteRefusal } from './decisions.ts';
import { fenceNode, markExpired } from './fence-node.ts';
import { SYSTEM } from './principal.ts';

/**
 * The failure detector (DESIGN section 5): a 1 Hz loop of about two minutes. A rule starts one a minute; of two that
 * overlap one acts, the other observes and stands by, so that it can fence in the tick in which it takes over.
 */

/** Fixed rate of the loop. */
export const TICK_MS = 1_000;
/** One attempt of a store call on the failover path: a slower answer is worth a new attempt in the next tick. */
export const ATTEMPT_TIMEOUT_MS = 500;
/** The loop's life: two minutes less five seconds, so that at any time but these five seconds two loops run; the function's own timeout is 150 s. */
export const LOOP_MS = 115_000;
/** At its end the loop waits this long for failovers that it began; what is left the next loop's sweeps find. */
const FINISH_MS = 10_000;
/** Ticks between two reads of the nodes' zones, for the brake. */
const ZONES_EVERY_TICKS = 30;
/** An open fence that could not be closed is swept again after this long, doubled up to the maximum (E3). */
const SWEEP_RETRY_MS = 1_000;
const SWEEP_RETRY_MS_MAX = 10_000;
/** Nodes failed over at once; each works on up to STORE_CONCURRENCY shards. */
const FAILOVERS_MAX = 8;

export interface DetectorOptions {
  /** Milliseconds until the planned end. */
  readonly runForMs?: number;
  readonly signal?: AbortSignal;
  /** Name of this loop in the lease. */
  readonly holder?: string;
}

const BY = SYSTEM('detector');

interface Loop {
  readonly deps: Deps;
  readonly lease: DetectorLease;
  readonly readLiveness: () => Promise<LivenessRecord[]>;
  observations: Observations;
  items: readonly LivenessRecord[];
  zones: ReadonlyMap<NodeId, string>;
  /** Nodes whose fence is being swept, and when an open fence may be swept again (monotonic ms). */
  readonly sweeping: Set<NodeId>;
  readonly sweepAgain: Map<NodeId, { atMs: number; pauseMs: number }>;
  readonly work: Set<Promise<void>>;
  storeFailures: number;
  lastBrakedFenceMs: number;
}

/** Runs one loop until its planned end, or until `signal` aborts. Never throws: a failed tick is logged and the next one tries again. */
export async function runDetector(deps: Deps, options: DetectorOptions = {}): Promise<void> {
  const holder = options.holder ?? `detector-${deps.random.hex(6)}`;
  const loop: Loop = {
    deps,
    lease: createDetectorLease(deps, holder),
    readLiveness: deps.liveness.watch(),
    observations: new Map(),
    items: [],
    zones: new Map(),
    sweeping: new Set(),
    sweepAgain: new Map(),
    work: new Set(),
    storeFailures: 0,
    lastBrakedFenceMs: Number.NEGATIVE_INFINITY,
  };
  const startMs = deps.clock.monotonicMs();
  // L2: only then can a lease that stood still since the first read be found expired.
  const readyMs = LEASE_PROFILES[deps.settings.leaseProfile].leaseMs + DRIFT_BOUND_MS;
  const endMs = startMs + (options.runForMs ?? LOOP_MS);
  const stopped = (): boolean => options.signal?.aborted === true;
  for (let tick = 0; !stopped(); tick++) {
    const tickMs = startMs + tick * TICK_MS; // fixed rate: a slow tick does not push the following ones back
    const nowMs = deps.clock.monotonicMs();
    if (nowMs >= endMs) break;
    if (nowMs < tickMs) await deps.timers.sleep(tickMs - nowMs, options.signal);
    if (stopped()) break;
    if (deps.clock.monotonicMs() >= tickMs + TICK_MS) continue; // this tick's time is over
    const observedMs = deps.clock.monotonicMs() - startMs;
    await runTick(loop, tick, { untilMs: Math.min(tickMs + TICK_MS, endMs), ready: observedMs >= readyMs });
  }
  await attempt(loop, 'release', () => loop.lease.release());
  await Promise.race([Promise.all(loop.work), deps.timers.sleep(FINISH_MS)]);
}

async function runTick(
  loop: Loop,
  tick: number,
  { untilMs, ready }: { readonly untilMs: number; readonly ready: boolean },
): Promise<void> {
  const { deps } = loop;
  const [items, acts] = await Promise.all([
    attempt(loop, 'read-liveness', loop.readLiveness),
    attempt(loop, 'detector-lease', () => loop.lease.beat(ready)),
    // Without zones nothing would be lost outside of the worst-hit one, and the brake could not trip: an early read that failed is repeated (L5).
    tick % ZONES_EVERY_TICKS === 0 || loop.zones.size === 0 ? attempt(loop, 'read-zones', () => readZones(loop)) : null,
  ]);
  if (items === null) {
    loop.storeFailures += 1;
    return;
  }
  loop.storeFailures = 0;
  loop.items = items;
  // L2: an observation begins when the read that first showed it has been answered.
  loop.observations = observe(loop.observations, items, deps.clock.monotonicMs());
  if (acts !== true) return;
  const open = sweepOpenFences(loop);
  await fenceExpired(loop, untilMs);
  loop.work.add(open);
  void open.finally(() => loop.work.delete(open));
}

/** Fences whoever's deadline passes before the next tick, each at its deadline. */
async function fenceExpired(loop: Loop, untilMs: number): Promise<void> {
  const { deps } = loop;
  const due = loop.items
    .map((item) => ({ item, observation: loop.observations.get(item.nodeId) }))
    .filter(
      ({ item, observation }) => isHeld(item) && observation !== undefined && isExpired(item, observation, untilMs),
    )
    .map(({ item, observation }) => ({
      item,
      atMs: observation === undefined ? 0 : fenceDeadlineMs(item, observation),
    }))
    .sort((a, b) => a.atMs - b.atMs);
  const reading = brakeReading(loop, new Set(due.map(({ item }) => item.nodeId)));
  const braked = updateBrake(loop, reading);
  let allowed = braked ? brakedAllowance(loop, reading) : Number.POSITIVE_INFINITY;
  for (const { item, atMs } of due) {
    const waitMs = atMs - deps.clock.monotonicMs();
    if (waitMs > 0) await deps.timers.sleep(waitMs);
    if (allowed <= 0) {
      // L4: braked or not, the mark is made, so that a restarted node may register.
      if (!isMarkedExpired(item)) await attempt(loop, 'mark-expired', () => markExpired(deps, item));
      continue;
    }
    allowed -= 1;
    if (braked) loop.lastBrakedFenceMs = deps.clock.monotonicMs();
    // Not awaited: one slow fence must not hold back the next node's deadline.
    track(loop, fenceAndFailOver(loop, item));
  }
}

async function fenceAndFailOver(loop: Loop, item: LivenessRecord): Promise<void> {
  if (loop.sweeping.has(item.nodeId)) return;
  loop.sweeping.add(item.nodeId);
  try {
    const fenced = await attempt(loop, 'fence', () =>
      fenceNode(loop.deps, BY, item, { writes: [fenceDecision(loop, item)], audit: [], events: [] }),
    );
    if (fenced === null) return; // it renewed, or the outcome is unknown: the next tick reads anew
    loop.deps.log.info('node-fenced', { nodeId: fenced.nodeId, nodeEpoch: fenced.nodeEpoch });
    await sweep(loop, fenced);
  } finally {
    loop.sweeping.delete(item.nodeId);
  }
}

/** A fence and what was seen of the lease: how long its sequence stood still on this loop's clock (L2), and the brake (L5). */
function fenceDecision({ deps, lease, observations }: Loop, item: LivenessRecord): RecordWrite {
  const observation = observations.get(item.nodeId);
  return decisionWrite(deps, BY, {
    entity: `node:${item.nodeId}`,
    kind: 'FENCE',
    code: 'FENCED',
    inputs: asJson({ liveness: item, observation: observation ?? null, seen_at_ms: deps.clock.monotonicMs() }),
    rejected: [],
    outcome: { brake: lease.brake === null ? 'OFF' : 'ENGAGED' },
  });
}

/** Sweeps the rows of nodes whose fence is open (E3), including those that another loop fenced and did not finish. */
async function sweepOpenFences(loop: Loop): Promise<void> {
  const nowMs = loop.deps.clock.monotonicMs();
  const open = loop.items.filter(
    (item) =>
      item.openFence !== null &&
      !loop.sweeping.has(item.nodeId) &&
      (loop.sweepAgain.get(item.nodeId)?.atMs ?? 0) <= nowMs,
  );
  for (const item of open) loop.sweeping.add(item.nodeId);
  await mapBounded(open, FAILOVERS_MAX, async (item) => {
    try {
      await sweep(loop, item);
    } finally {
      loop.sweeping.delete(item.nodeId);
    }
  });
}

async function sweep(loop: Loop, fenced: LivenessRecord): Promise<void> {
  const { deps } = loop;
  try {
    const result = await sweepFencedNode(deps, BY, fenced);
    await noteSweep(deps, fenced, result.found === 0);
    const before = loop.sweepAgain.get(fenced.nodeId)?.pauseMs ?? SWEEP_RETRY_MS / 2;
    // Progress is followed up at the next tick; what can't be settled now is looked at less and less often.
    const pauseMs = result.found > result.elected ? Math.min(before * 2, SWEEP_RETRY_MS_MAX) : 0;
    if (pauseMs === 0) loop.sweepAgain.delete(fenced.nodeId);
    else loop.sweepAgain.set(fenced.nodeId, { atMs: deps.clock.monotonicMs() + pauseMs, pauseMs });
    if (result.found > 0) {
      deps.log.info('node-swept', {
        nodeId: fenced.nodeId,
        found: result.found,
        elected: result.elected,
        leaderless: result.leaderless.length,
      });
    }
  } catch (error) {
    deps.log.warn('sweep-failed', { nodeId: fenced.nodeId, message: String(error) });
  }
}

function brakeReading(loop: Loop, expired: ReadonlySet<NodeId>): BrakeReading {
  const nowWallMs = loop.deps.clock.wallMs();
  const recentlyFenced = (item: LivenessRecord): boolean =>
    item.incarnation === null && item.fencedAtMs !== null && nowWallMs - item.fencedAtMs < LOST_WINDOW_MS;
  // Nodes fenced long ago are neither lost now nor part of the fleet that the shares are of.
  const inService = loop.items.filter((item) => isHeld(item) || recentlyFenced(item));
  return readBrake(
    inService.map((item) => ({
      nodeId: item.nodeId,
      zone: loop.zones.get(item.nodeId) ?? '',
      lost: expired.has(item.nodeId) || recentlyFenced(item),
    })),
  );
}

/** Engages or releases the brake (L5); true while it holds. */
function updateBrake(loop: Loop, reading: BrakeReading): boolean {
  const { deps, lease } = loop;
  if (!reading.tripped) {
    if (lease.brake !== null) deps.log.info('brake-released', { lost: reading.lost });
    lease.setBrake(null);
    return false;
  }
  if (lease.brake === null) {
    const reason = `${reading.lost} of ${reading.total} nodes lost, ${reading.lostOutsideWorstZone} of them outside the worst-hit zone`;
    deps.log.error('brake-engaged', { reason });
    lease.setBrake({ engagedAtMs: deps.clock.wallMs(), lost: reading.lost, reason });
    track(
      loop,
      noteRefusal(deps, BY, {
        entity: 'cluster',
        kind: 'BRAKE',
        code: 'BRAKE_ENGAGED',
        inputs: asJson(reading),
        rejected: [],
        outcome: { reason },
      }),
    );
  }
  return true;
}

/** Fences allowed now although the brake holds: none before the limit, then a capped rate, with an alarm (L5). */
function brakedAllowance(loop: Loop, reading: BrakeReading): number {
  const { deps, lease } = loop;
  const engagedForMs = deps.clock.wallMs() - (lease.brake?.engagedAtMs ?? deps.clock.wallMs());
  if (engagedForMs < BRAKE_LIMIT_MS) return 0;
  if (deps.clock.monotonicMs() - loop.lastBrakedFenceMs < BRAKED_FENCE_INTERVAL_MS) return 0;
  deps.log.error('brake-yields', { engagedForMs, lost: reading.lost });
  return brakedFenceBatch(reading.total);
}

async function readZones(loop: Loop): Promise<true> {
  const nodes = await everyRecord(loop.deps, 'node', {});
  loop.zones = new Map(nodes.map(({ nodeId, zone }) => [nodeId, zone]));
  return true;
}

/** A store call on the failover path: null if it failed or took longer than ATTEMPT_TIMEOUT_MS (its outcome is then unknown). */
async function attempt<T>(loop: Loop, what: string, call: () => Promise<T>): Promise<T | null> {
  const { deps } = loop;
  const timedOut = Symbol(what);
  let timer: Timer | null = null;
  try {
    const timeout = new Promise<symbol>((resolve) => {
      timer = deps.timers.after(ATTEMPT_TIMEOUT_MS, () => resolve(timedOut));
    });
    const outcome = await Promise.race([call(), timeout]);
    if (outcome === timedOut) {
      deps.log.warn('attempt-timed-out', { what });
      return null;
    }
    return outcome as T;
  } catch (error) {
    deps.log.warn('attempt-failed', { what, message: String(error) });
    return null;
  } finally {
    (timer as Timer | null)?.cancel();
  }
}

function track(loop: Loop, work: Promise<void>): void {
  const settled = work.catch((error: unknown) => loop.deps.log.error('failover-failed', { message: String(error) }));
  loop.work.add(settled);
  void settled.finally(() => loop.work.delete(settled));
}
