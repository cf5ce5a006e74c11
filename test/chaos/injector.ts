import { setTimeout as sleep } from 'node:timers/promises';
import type { ChaosCluster, ChaosNode } from './cluster.ts';
import { FAULTS, FaultFailure } from './faults.ts';
import type { FaultKind, PlannedFault } from './plan.ts';
import { fullyReplicated } from './verdict.ts';

/** Injects what the plan says, a few faults at a time, and takes all of it back. */

/** Of three copies two may be out of reach; what is acknowledged must be there all the same. */
const AT_ONCE_MAX = 2;
/** A fault that loses copies waits so long for the shards to be replicated again; then it is skipped. */
const REPLICATED_MS_MAX = 25_000;
const POLL_MS = 200;

export class Injector {
  readonly injected = new Map<FaultKind, number>();
  /** Why faults were left out, by kind. */
  readonly skipped = new Map<FaultKind, string>();
  /** What faults showed by themselves. */
  readonly failures: string[] = [];
  private readonly cluster: ChaosCluster;
  private readonly say: (line: string) => void;
  private readonly active = new Set<Promise<void>>();
  private readonly busy = new Set<string>();
  private losing = false;

  constructor(cluster: ChaosCluster, say: (line: string) => void) {
    this.cluster = cluster;
    this.say = say;
  }

  /** Injects fault after fault until `untilMs` (`performance.now`) or `signal`; answers when all of them are over. */
  async run(plan: Iterable<PlannedFault>, untilMs: number, signal: AbortSignal): Promise<void> {
    const over = (): boolean => signal.aborted || performance.now() >= untilMs;
    try {
      for (const fault of plan) {
        await pause(Math.min(fault.pauseMs, untilMs - performance.now()), signal);
        while (this.active.size >= AT_ONCE_MAX && !over()) await pause(POLL_MS, signal);
        if (over()) return;
        await this.begin(fault, signal);
      }
    } finally {
      await Promise.all(this.active);
    }
  }

  private async begin(fault: PlannedFault, signal: AbortSignal): Promise<void> {
    const { kind } = fault;
    const problem = await this.obstacle(kind, signal);
    const [node, other] = this.choose(fault);
    if (problem !== null || node === undefined || other === undefined) {
      const reason = problem ?? 'too few nodes are free';
      this.skipped.set(kind, reason);
      this.say(`${kind} is skipped: ${reason}`);
      return;
    }
    const { takes, losesCopies } = FAULTS[kind];
    const taken =
      takes === 'CONTROL_PLANE' ? [takes] : takes === 'TWO_NODES' ? [node.nodeId, other.nodeId] : [node.nodeId];
    for (const name of taken) this.busy.add(name);
    if (losesCopies) this.losing = true;
    this.injected.set(kind, (this.injected.get(kind) ?? 0) + 1);
    this.say(`${kind}: ${takes === 'CONTROL_PLANE' ? 'control-plane' : node.nodeId}, ${Math.round(fault.lastsMs)} ms`);
    const run = this.inject(fault, node, other).finally(() => {
      this.active.delete(run);
      for (const name of taken) this.busy.delete(name);
      if (losesCopies) this.losing = false;
    });
    this.active.add(run);
  }

  private async inject(fault: PlannedFault, node: ChaosNode, other: ChaosNode): Promise<void> {
    const { cluster, say } = this;
    const { kind, lastsMs, form } = fault;
    try {
      await FAULTS[kind].run({ cluster, node, other, lastsMs, form, say });
    } catch (error) {
      const problem = error instanceof FaultFailure ? error.message : `${kind} itself failed: ${String(error)}`;
      this.failures.push(problem);
      this.say(problem);
    }
  }

  /** Why the fault can't be injected now; null if it can. */
  private async obstacle(kind: FaultKind, signal: AbortSignal): Promise<string | null> {
    if (kind === 'full_disk' && this.cluster.noSmallDisk !== null) return this.cluster.noSmallDisk;
    if (FAULTS[kind].takes === 'CONTROL_PLANE' && this.busy.has('CONTROL_PLANE')) return 'the control plane is down';
    if (!FAULTS[kind].losesCopies) return null;
    const untilMs = performance.now() + REPLICATED_MS_MAX;
    while (performance.now() < untilMs && !signal.aborted) {
      if (!this.losing && (await fullyReplicated(this.cluster.api).catch(() => false))) return null;
      await pause(POLL_MS, signal);
    }
    return 'the shards were not all replicated in time';
  }

  /** The planned node if it is free, else the next one that is; and another free one. */
  private choose({ kind, node: first }: PlannedFault): readonly (ChaosNode | undefined)[] {
    const { nodes } = this.cluster;
    const inTurn = nodes.map((_, index) => nodes[(first + index) % nodes.length]!);
    const free = inTurn.filter(({ nodeId }) => !this.busy.has(nodeId));
    const [node] = kind === 'full_disk' ? free.filter(({ hasSmallDisk }) => hasSmallDisk) : free;
    return [node, free.find((other) => other !== node)];
  }
}

/** Sleeps; ends early when `signal` aborts. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(Math.max(0, ms), undefined, { signal }).catch(() => undefined);
}
