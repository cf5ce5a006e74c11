import { REPORTS_PER_MESSAGE_MAX } from '../../shared/contracts/node/heartbeat.ts';
import type { Timer } from '../../shared/domain/environment.ts';
import { spawn } from './context.ts';
import type { HostContext } from './context.ts';
import type { ShardReplica } from './shard-replica.ts';

/**
 * Followers that hear nothing from their leader say so (R3), with what they hold: it is also their proof when every node lost
 * power (E4), and the answer's descriptor tells a new leader of its role. Pauses double from report to report. A copy that was taken off the
 * list while its node was away, or came back with an old directory, hears no leader either: that is how it is found. So is one whose shard is gone.
 */
export class SilentLeaders {
  private readonly context: HostContext;
  private readonly replicas: () => Iterable<ShardReplica>;
  private timer: Timer | null = null;
  private closed = false;

  constructor(context: HostContext, replicas: () => Iterable<ShardReplica>) {
    this.context = context;
    this.replicas = replicas;
  }

  start(): void {
    const { env, lease } = this.context;
    this.timer = env.timers.after(this.pauseMs(), () => {
      if (this.closed) return;
      if (lease.registration() !== null) this.reportDue();
      this.start();
    });
  }

  /** Until the first report is due by what is known now. No longer than half of the silence: a term that ends may leave one that is due at once. */
  private pauseMs(): number {
    const { env, tuning } = this.context;
    let dueMs = Infinity;
    for (const replica of this.replicas())
      if (replica.leadership() === null) dueMs = Math.min(dueMs, replica.reportDueMs);
    const pauseMs = dueMs - env.clock.monotonicMs();
    return Math.min(tuning.silentLeaderMs / 2, Math.max(tuning.silentLeaderMs / 8, pauseMs));
  }

  close(): void {
    this.closed = true;
    this.timer?.cancel();
  }

  private reportDue(): void {
    const { env, tuning } = this.context;
    const nowMs = env.clock.monotonicMs();
    let budget = REPORTS_PER_MESSAGE_MAX;
    for (const replica of this.replicas()) {
      // A copy that nobody lists reports too: it is told to go (R4).
      if (replica.leadership() !== null || nowMs < replica.reportDueMs) continue;
      if (budget-- === 0) return;
      replica.reportPauseMs = Math.min(tuning.silentLeaderMsMax, replica.reportPauseMs * 2);
      replica.reportDueMs = nowMs + replica.reportPauseMs * (1 + env.random.next() / 2);
      spawn(env, 'report a silent leader', this.report(replica));
    }
  }

  private async report(replica: ShardReplica): Promise<void> {
    const { env, reporter, lease, engine } = this.context;
    const meta = replica.meta();
    const registration = lease.registration();
    if (meta === undefined || registration === null) return;
    const descriptor = replica.descriptor();
    const result = await reporter.report({
      type: 'silent_leader',
      shard_id: replica.shardId,
      replica_id: replica.replicaId,
      epoch: descriptor.epoch,
      generation: descriptor.generation,
      store_uuid: registration.storeUuid,
      begins: { table_id: descriptor.table_id, start_key: descriptor.start_key },
      // R3: tells a leader that is stuck from one that was just elected.
      silent_ms: Math.max(0, Math.floor(env.clock.monotonicMs() - replica.lastHeardMs)),
      log: {
        last_epoch: meta.last.epoch,
        last_seq: meta.last.seq,
        intact: meta.intact && meta.storeUuid === registration.storeUuid && engine.failure() === null,
      },
    });
    if (!result.ok) return;
    if (result.value.descriptor !== null) this.context.adopt(result.value.descriptor);
    else if (result.value.code === 'SHARD_ABSORBED') await this.context.joins.dropGone(replica);
  }
}
