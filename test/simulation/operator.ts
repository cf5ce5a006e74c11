import { hasEnded } from '../../shared/domain/operation.ts';
import type { OperationRecord } from '../../shared/domain/records.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { World } from './control-plane.ts';
import type { MetadataWatch } from './metadata-watch.ts';
import { ACTIONS } from './operator-actions.ts';
import type { OperatorRequest } from './operator-actions.ts';
import type { Pace } from './pace.ts';
import { CONTROL_PLANE, clientNetwork } from './wire.ts';
import type { SimulatedProcess } from './virtual-time.ts';

/** An operator who splits, moves, transfers, drains, cancels and pauses at random, by the public API, over the same bad network as everybody. */

/** Open operations beyond which no new one is asked for: the shards of a run are few. */
const OPEN_MAX = 6;
/** A transfer of leadership may be answered after 10 s (DESIGN section 8, call 9). */
const REQUEST_TIMEOUT_MS = 15_000;
/** A request whose answer is lost is sent again under its idempotency key (I-11). */
const ATTEMPTS_MAX = 3;
const RETRY_MS = 1_000;
/** After the run, paused operations are let go on again and again: an answer may come late, and an undoing pauses too. */
const RESUME_EVERY_MS = 1_000;

export interface OperatorOptions {
  readonly admin: string;
  readonly table: string;
  readonly nodes: readonly string[];
  readonly pace: Pace;
}

/**
 * A drain waits for as long as its operator lets it: when all nodes are drained at once, or every other node holds a copy already, nobody else
 * ends it.
 */
const hasNoTarget = ({ type, control, waitingOn }: OperationRecord): boolean =>
  type === 'drain-node' && control !== 'CANCEL' && waitingOn !== null && /NODE_CORDONED|HOLDS_REPLICA/.test(waitingOn);

export class Operator {
  private readonly world: World;
  private readonly metadata: MetadataWatch;
  private readonly options: OperatorOptions;
  private readonly process: SimulatedProcess;
  private readonly random;
  private stopped = false;
  private requests = 0;
  /** Answers by request and status or problem code. */
  readonly answers = new Map<string, number>();

  constructor(world: World, metadata: MetadataWatch, options: OperatorOptions) {
    this.world = world;
    this.metadata = metadata;
    this.options = options;
    this.random = world.random.fork('operator-choices');
    this.process = world.time.processEnvironment({ name: 'operator' });
  }

  start(): void {
    const next = (): void => {
      if (this.stopped) return;
      for (const request of this.choose()) void this.send(request);
      this.process.timers.after(this.random.between(...this.options.pace.betweenRequestsMs), next);
    };
    this.process.timers.after(this.random.between(...this.options.pace.betweenRequestsMs), next);
  }

  /** No new requests; what is paused goes on, and drains that leave each other no node to drain to are taken back. */
  stop(): void {
    this.stopped = true;
    const resume = (): void => {
      const waiting = this.open().filter(({ status, control }) => status === 'PAUSED' || control === 'PAUSE');
      for (const { operationId } of waiting)
        void this.send({ name: 'resume', method: 'POST', path: `/operations/${operationId}/resume`, body: undefined });
      for (const { operationId } of this.open().filter(hasNoTarget))
        void this.send({ name: 'cancel', method: 'POST', path: `/operations/${operationId}/cancel`, body: undefined });
      this.process.timers.after(RESUME_EVERY_MS, resume);
    };
    this.process.deliver(0, resume);
  }

  /** Operations that have not ended. */
  open(): readonly OperationRecord[] {
    return [...this.metadata.operations.values()].filter((operation) => !hasEnded(operation));
  }

  private choose(): readonly OperatorRequest[] {
    const shards: readonly ShardDescriptor[] = [...this.metadata.shards.values()];
    const isFull = this.open().length >= OPEN_MAX;
    const able = ACTIONS.filter((action) => !isFull || !action.starts);
    let draw = this.random.next() * able.reduce((sum, action) => sum + action.weight, 0);
    const action = able.find(({ weight }) => (draw -= weight) < 0) ?? able[0];
    const view = { shards, operations: [...this.metadata.operations.values()], ...this.options };
    return [action?.request(view, this.random) ?? []].flat();
  }

  private async send(request: OperatorRequest): Promise<void> {
    const { method, path, body } = request;
    const network = clientNetwork(this.world.network, { host: 'operator', process: this.process });
    const key = `request-${++this.requests}`;
    this.world.trace.add('operator', `${key}: ${method} ${path} ${JSON.stringify(body ?? null)}`);
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const answer = await network.call({
        method,
        url: `http://${CONTROL_PLANE.host}:${CONTROL_PLANE.port}${path}`,
        bearer: this.options.admin,
        body: body ?? null,
        headers: { 'idempotency-key': key },
        timeoutMs: REQUEST_TIMEOUT_MS,
      });
      if (answer.kind === 'ANSWERED' && answer.status < 500) {
        const { code } = answer.body as { readonly code?: string };
        this.note(`${request.name}: ${answer.status === 200 ? 'accepted' : (code ?? answer.status)}`, key);
        return;
      }
      // 503: the store is in trouble. A 500 is a fault of the control plane, whatever the store does.
      if (answer.kind === 'ANSWERED' && answer.status === 500)
        this.world.time.fail(new Error(`${method} ${path} was answered 500: ${JSON.stringify(answer.body)}`));
      await this.process.timers.sleep(RETRY_MS);
    }
    this.note(`${request.name}: no answer`, key);
  }

  private note(what: string, key: string): void {
    this.answers.set(what, (this.answers.get(what) ?? 0) + 1);
    this.world.trace.add('operator', `${key}: ${what}`);
  }
}
