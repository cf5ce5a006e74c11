import type { ShardId } from '../shared/domain/ids.ts';
import type { OperationPart, OperationRecord } from '../shared/domain/records.ts';
import { InFlight, paceOf, refilled, scaledBudget, secondsToToken } from '../shared/domain/waves/budget.ts';
import type { BudgetRefusal } from '../shared/domain/waves/budget.ts';
import { partOf } from '../shared/domain/waves/parts.ts';
import { judged } from '../shared/domain/waves/throttle.ts';
import { withReason } from '../shared/domain/waves/state.ts';
import type { WaveState } from '../shared/domain/waves/state.ts';
import type { Deps } from '../shared/ports.ts';
import { readCluster } from '../shared/usecases/cluster-view.ts';
import type { ClusterView } from '../shared/usecases/cluster-view.ts';
import { movesUnderWay } from '../shared/usecases/moves-under-way.ts';
import { rebalanceSettings } from '../shared/usecases/rebalance-config.ts';
import { startPart } from '../shared/usecases/start-part.ts';
import type { PartStart } from '../shared/usecases/start-part.ts';
import { BY } from './move-replica/work.ts';
import { noteOpenPart, notePart, partsByNumber, partsFrom } from './waves-parts.ts';
import { RETRY_MS } from './waves-running.ts';
import type { WaveGoal } from './waves.ts';

/** Starts as many parts as budget, pace and throttle allow. */

/** Parts that one step looks at: those beyond wait for the next one. */
const WINDOW_PARTS = 200;
/** Parts that one step starts: each costs some ten requests, far under a step's timeout. */
const STARTS_PER_STEP = 40;
/** Parts that are kept for another try; more than these are left out at once. */
const WAITING_MAX = 500;

export interface StartedParts {
  readonly state: WaveState;
  readonly waitingOn: string | null;
  /** Seconds after which it is worth while to look again; null: as usual. */
  readonly seconds: number | null;
}

/** What one step has to know, read once. */
interface Round {
  readonly view: ClusterView;
  readonly inFlight: InFlight;
  readonly movesPerHour: number;
}

export async function startParts(
  deps: Deps,
  goal: WaveGoal,
  operation: OperationRecord,
  before: WaveState,
): Promise<StartedParts> {
  const nowMs = deps.clock.wallMs();
  const { operationId } = operation;
  const retries = before.waiting.filter(({ untilMs }) => untilMs <= nowMs).map(({ number }) => number);
  const isQueued = before.cursor < (before.next ?? 0);
  if (retries.length === 0 && !isQueued) return { state: before, waitingOn: underWay(before), seconds: null };
  const brake = (await deps.records.get('detector', {}))?.value.brake ?? null;
  if (brake !== null)
    return { state: before, waitingOn: `the brake, which holds back fencing: ${brake.reason}`, seconds: null };
  const window = isQueued ? await partsFrom(deps, operationId, before.cursor, WINDOW_PARTS) : [];
  const again = await partsByNumber(deps, operationId, retries.slice(0, WINDOW_PARTS));
  const [view, settings] = await Promise.all([readCluster(deps), rebalanceSettings(deps)]);
  const latencies = view.nodes.flatMap(({ clientMsP99 }) => clientMsP99 ?? []);
  const throttle = judged(before.throttle, latencies, { ratioMax: settings.latencyRatioMax }, nowMs);
  const inFlight = new InFlight(scaledBudget(goal.budget(settings), throttle.share));
  await countUnderWay(deps, before, inFlight);
  const { movesPerHour } = settings;
  const first = paceOf(operation.input) ?? { tokens: movesPerHour, atMs: nowMs };
  const pace = goal.paced ? refilled(before.pace ?? first, movesPerHour, nowMs) : null;
  const starter = new Starter(
    deps,
    goal,
    operation,
    { view, inFlight, movesPerHour },
    {
      ...before,
      // A look alone is no news.
      throttle: isNewsOf(throttle, before.throttle) ? throttle : before.throttle,
      pace,
    },
  );
  const known = new Set([...before.running, ...before.waiting].map(({ number }) => number));
  const queue = [...again, ...window.filter(({ number }) => !known.has(number))];
  for (const part of queue) if (!(await starter.take(part))) break;
  return starter.result(before, window);
}

const isNewsOf = (after: WaveState['throttle'], before: WaveState['throttle']): boolean =>
  after.share !== before.share || (before.baselineMs === null && after.baselineMs !== null);

/** Everybody's moves share the budget; of the own ones it is known who feeds them. */
async function countUnderWay(deps: Deps, state: WaveState, inFlight: InFlight): Promise<void> {
  const sources = new Map(state.running.map(({ shardId, source }) => [shardId, source]));
  for (const move of await movesUnderWay(deps)) {
    // One that adds nothing copies nothing.
    if (move.to.length > 0) inFlight.addMove({ to: move.to, source: sources.get(move.shardId) ?? null });
  }
  for (const { source } of state.running) if (source === null) inFlight.addTransfer([]);
}

class Starter {
  private readonly deps: Deps;
  private readonly goal: WaveGoal;
  private readonly operation: OperationRecord;
  private readonly round: Round;
  private state: WaveState;
  private starts = 0;
  /** Parts that the budget held back, by limit. */
  private readonly held = new Map<BudgetRefusal | 'PACE', number>();
  private readonly left = new Set<number>();

  constructor(deps: Deps, goal: WaveGoal, operation: OperationRecord, round: Round, state: WaveState) {
    this.deps = deps;
    this.goal = goal;
    this.operation = operation;
    this.round = round;
    this.state = state;
  }

  /** False: no further part can start in this step. */
  async take(record: OperationPart): Promise<boolean> {
    if (record.status !== 'PLANNED' && record.status !== 'RUNNING') {
      this.takeEnded(record);
      return true;
    }
    this.forget(record.number);
    const part = partOf(record.value);
    const { pace } = this.state;
    if (pace !== null && part.kind !== 'LEADER' && pace.tokens < 1) {
      this.hold(record.number, part.shardId, 'PACE');
      return true; // leader transfers behind it cost nothing of the pace
    }
    const { operationId, run, undoing } = this.operation;
    const around = {
      principal: BY,
      operationId,
      when: [
        { kind: 'equals', field: 'status', value: 'RUNNING' },
        { kind: 'equals', field: 'run', value: run },
        { kind: 'equals', field: 'undoing', value: undoing },
      ] as const,
      view: this.round.view,
      inFlight: this.round.inFlight,
      beforeStart: async (number: number, childId: OperationPart['childId']) => {
        if (!(await noteOpenPart(this.deps, operationId, number, { status: 'RUNNING', childId, reason: null })))
          throw new Error(`part ${number} of ${operationId} ended while a step stood still before its start`);
      },
    };
    const outcome = await startPart(this.deps, around, record.number, part);
    await this.note(record, part.shardId, part.kind === 'LEADER', outcome);
    return this.starts < STARTS_PER_STEP;
  }

  private async note(
    { number, childId }: OperationPart,
    shardId: ShardId,
    isTransfer: boolean,
    outcome: PartStart,
  ): Promise<void> {
    const { deps, state } = this;
    const { operationId } = this.operation;
    const nowMs = deps.clock.wallMs();
    switch (outcome.kind) {
      case 'STARTED': {
        this.starts += 1;
        // Found by its id, started by a step that died: the part says so as well.
        if (outcome.childId !== childId)
          await noteOpenPart(deps, operationId, number, { status: 'RUNNING', childId: outcome.childId, reason: null });
        const one = { number, shardId, sinceMs: nowMs, source: outcome.source };
        const pace = isTransfer || state.pace === null ? state.pace : { ...state.pace, tokens: state.pace.tokens - 1 };
        this.state = { ...state, running: [...state.running, one], pace };
        return;
      }
      case 'DONE':
        await notePart(deps, operationId, number, { status: 'DONE', reason: null });
        this.state = { ...state, done: state.done + 1, progressMs: nowMs };
        return;
      case 'BUDGET':
        this.hold(number, shardId, outcome.limit);
        return;
      case 'REFUSED': {
        const { code: reason } = outcome;
        // What is gone needs no second look; the next plan sees it anyway.
        const isFinal = reason === 'PLAN_STALE' || reason === 'SHARD_NOT_FOUND' || reason === 'NODE_RETURNED';
        const waits = this.goal.mode === 'UNTIL_REACHED' && !isFinal && state.waiting.length < WAITING_MAX;
        await noteOpenPart(deps, operationId, number, { status: waits ? 'PLANNED' : 'SKIPPED', reason });
        this.state = waits
          ? { ...state, waiting: [...state.waiting, { number, shardId, untilMs: nowMs + RETRY_MS, reason }] }
          : { ...state, skipped: state.skipped + 1, reasons: withReason(state.reasons, reason) };
        return;
      }
    }
  }

  private hold(number: number, shardId: ShardId, limit: BudgetRefusal | 'PACE'): void {
    // Behind the cursor nobody would find it again: it waits for the next look.
    if (number < this.state.cursor)
      this.state = {
        ...this.state,
        waiting: [...this.state.waiting, { number, shardId, untilMs: this.deps.clock.wallMs(), reason: limit }],
      };
    else this.left.add(number);
    this.held.set(limit, (this.held.get(limit) ?? 0) + 1);
  }

  /**
   * A step noted the end of a waiting part and died before it saved that the part waits no longer. Kept among the waiting it would hold its shard
   * and the operation for good (I-10).
   */
  private takeEnded({ number, status, reason }: OperationPart): void {
    if (!this.state.waiting.some((one) => one.number === number)) return;
    this.forget(number);
    const { state } = this;
    if (status === 'DONE') this.state = { ...state, done: state.done + 1, progressMs: this.deps.clock.wallMs() };
    else {
      const counted = status === 'FAILED' ? { failed: state.failed + 1 } : { skipped: state.skipped + 1 };
      this.state = { ...state, ...counted, reasons: withReason(state.reasons, reason ?? 'NOT_STARTED') };
    }
  }

  /** A part that was taken up again waits no longer; if it has to, `note` puts it back. */
  private forget(number: number): void {
    this.state = { ...this.state, waiting: this.state.waiting.filter((one) => one.number !== number) };
  }

  result(before: WaveState, window: readonly OperationPart[]): StartedParts {
    const settled = new Set([...this.state.running, ...this.state.waiting].map(({ number }) => number));
    const looked = this.starts < STARTS_PER_STEP;
    const first = window.find(
      ({ number, status }) =>
        this.left.has(number) || (!looked && (status === 'PLANNED' || status === 'RUNNING') && !settled.has(number)),
    );
    const end = (window.at(-1)?.number ?? before.cursor - 1) + 1;
    // Held-back parts that were tried again keep waiting for their turn.
    const state: WaveState = { ...this.state, cursor: first?.number ?? end, pace: this.paceToKeep(before) };
    return { state, waitingOn: this.inWords(), seconds: this.secondsToNext() };
  }

  /** The pace is kept as of the last start: a look alone is no news. */
  private paceToKeep(before: WaveState): WaveState['pace'] {
    return this.starts === 0 && before.pace !== null ? before.pace : this.state.pace;
  }

  private secondsToNext(): number | null {
    const { pace } = this.state;
    if (pace === null || !this.held.has('PACE') || this.state.running.length > 0) return null;
    return secondsToToken(pace, this.round.movesPerHour);
  }

  private inWords(): string | null {
    const { state } = this;
    const parts = [underWay(state)];
    for (const [limit, count] of this.held) parts.push(`${count} wait for ${LIMITS[limit]}`);
    if (state.throttle.share < 1)
      parts.push(`clients' latency has risen: at ${Math.round(state.throttle.share * 100)} % of the budget`);
    const told = parts.filter((part) => part !== null);
    return told.length === 0 ? null : told.join('; ');
  }
}

const LIMITS: Readonly<Record<BudgetRefusal | 'PACE', string>> = {
  NODE_IN: 'a node that receives as many copies as it may',
  NODE_OUT: 'a node that feeds as many copies as it may',
  CLUSTER: "the cluster's limit of copies at once",
  TRANSFERS: 'the limit of leader transfers at once',
  PACE: 'the pace of moves_per_hour',
};

/** Reasons told one by one in `waiting_on`; more of them would say no more. */
const REASONS_TOLD_MAX = 3;

/** What an operator can do about a part that finds no node; what is not here passes by itself. */
const ADVICE: Readonly<Record<string, string>> = {
  HOLDS_REPLICA: 'every other node holds a copy already: add a node, or lower the replication factor',
  NODE_UNHEALTHY: 'the nodes that could take it are down: bring one back, or add one',
  NODE_DECOMMISSIONING: 'the nodes that could take it are leaving: add one, or cancel a decommission',
  NODE_DRAINING: 'the nodes that could take it are being drained: add one, or cancel a drain',
  NODE_MAINTENANCE: 'the nodes that could take it are under maintenance: wait for its end, or end it',
  NODE_CORDONED: 'the nodes that could take it are cordoned: uncordon one, or add one',
  LABEL_RULE: "no other node has the labels of the table's placement rule: label one, or change the rule",
  ZONE_RULE: 'it would share a zone with another copy: add a node in a zone of its own',
  NO_CAPACITY: 'the disks of the nodes that could take it are full: add a node, or space',
  NODE_FULL: 'the disks of the nodes that could take it are full: add a node, or space',
  TOO_FEW_REPLICAS: 'the shard has too few copies in sync: bring the nodes of the others back',
  NOT_ENOUGH_IN_SYNC: 'the shard has too few copies in sync: bring the nodes of the others back',
};

/** What runs, and what is kept for another try: why, how often, and what to do about it. */
function underWay({ running, waiting }: WaveState): string | null {
  const parts: string[] = [];
  if (running.length > 0) parts.push(`${running.length} under way`);
  const counts = new Map<string, { count: number; shardId: ShardId }>();
  for (const { reason, shardId } of waiting)
    counts.set(reason, { shardId, count: (counts.get(reason)?.count ?? 0) + 1 });
  const told = [...counts].sort(([a, m], [b, n]) => n.count - m.count || (a < b ? -1 : 1)).slice(0, REASONS_TOLD_MAX);
  for (const [reason, { count, shardId }] of told) {
    const advice = ADVICE[reason] ?? 'it passes by itself';
    parts.push(`${count} can't start: ${reason} (shard ${shardId}; ${advice})`);
  }
  if (told.length > 0) parts.push(`they are tried again every ${RETRY_MS / 1000} s`);
  return parts.length === 0 ? null : parts.join('; ');
}
