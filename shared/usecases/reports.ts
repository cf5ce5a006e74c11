import { isMarkedExpired } from '../domain/detector.ts';
import { leaderIsFenced } from '../domain/election.ts';
import { conflict } from '../domain/faults.ts';
import {
  commandId,
  encodedKey,
  epoch,
  generation,
  nodeEpoch,
  nodeId,
  operationId,
  replicaId,
  shardId,
  storeUuid,
  tableId,
} from '../domain/ids.ts';
import type { NodeEpoch, NodeId, ShardId } from '../domain/ids.ts';
import { LEASE_PROFILES } from '../domain/lease.ts';
import { noteSeal } from '../domain/merge.ts';
import { decideStatusProposal, mayRecreateEmpty } from '../domain/replication.ts';
import { assertNever, err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import { decideSplitKey } from '../domain/split.ts';
import { replicaById } from '../domain/shard.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import type { CommandAck } from '../contracts/node/commands.ts';
import type { NodeReport, ReportsResponse } from '../contracts/node/heartbeat.ts';
import type { Deps, Principal } from '../ports.ts';
import { keepLog } from './affected-shards.ts';
import { changeDescriptor, shardNotFound } from './descriptor-change.ts';
import type { Changed } from './descriptor-change.ts';
import { announceLeaders, ensureLeader } from './fail-over.ts';
import { readLiveness } from './liveness-view.ts';
import { finishTransfer, startTransfer } from './transfer-leader.ts';
import type { UseCase } from './types.ts';
import { describeForNodes } from './wire-descriptor.ts';

/** What a node proposes and reports about shards (R2, R3, E2, E4). A node changes only what it may: its own facts and, as leader, its shards' IN_SYNC lists (I-8). */

/** Reports of one message worked on at once. */
const REPORT_CONCURRENCY = 16;
/**
 * A leader that is alive but that an IN_SYNC follower has not heard for this long is stuck: after 1 s it would have dropped the
 * follower if `minInSync` allowed (R3). Five times that leaves room for a pause of either.
 */
export const TRANSFER_AFTER_SILENCE_MS = 5_000;
/** A leader in office for less than this is given time: keeps two nodes that can't reach each other from passing a shard to and fro. */
export const LEADER_GRACE_MS = 10_000;

/** For so long after its election a leader may not have heard of it: the push failed, and heartbeats carry its mailbox every 10 s at most. */
const ANNOUNCED_WITHIN_MS = 60_000;

type Outcome = Omit<ReportsResponse['results'][number], 'descriptor'> & { readonly shard: ShardDescriptor | null };
/** The registered node that speaks. */
export interface Reporter {
  readonly nodeId: NodeId;
  readonly nodeEpoch: NodeEpoch;
  readonly principal: Principal;
}

export const report: UseCase<'report'> = async (deps, principal, { params, body }) => {
  const reporter: Reporter = { nodeId: nodeId(params.node_id), nodeEpoch: nodeEpoch(body.node_epoch), principal };
  if (
    principal.kind === 'node' &&
    (principal.nodeEpoch !== body.node_epoch || principal.incarnation !== body.incarnation)
  ) {
    return err(
      conflict('NODE_FENCED', 'The credential is of another incarnation. Report under the present registration.', {
        detail: { node_epoch: principal.nodeEpoch },
      }),
    );
  }
  const results = await mapBounded(body.reports, REPORT_CONCURRENCY, async (one) => {
    const { shard, ...outcome } = await handle(deps, reporter, one);
    return { ...outcome, descriptor: shard === null ? null : await describeForNodes(deps, shard) };
  });
  return ok({ results });
};

function handle(deps: Deps, reporter: Reporter, one: NodeReport): Promise<Outcome> {
  switch (one.type) {
    case 'replica_status':
      return replicaStatus(deps, reporter, one);
    case 'silent_leader':
      return silentLeader(deps, reporter, one);
    case 'step_down_receipt':
      return stepDownReceipt(deps, reporter, one);
    case 'missing_replica':
      return missingReplica(deps, reporter, one);
    case 'command_ack':
      return commandAck(deps, reporter, one);
    case 'split_key':
      return splitKey(deps, reporter, one);
    default:
      return assertNever(one);
  }
}

const applied = (shard: ShardDescriptor | null): Outcome => ({ outcome: 'APPLIED', code: null, message: null, shard });
const nothing = (shard: ShardDescriptor | null): Outcome => ({
  outcome: 'NOTHING_TO_DO',
  code: null,
  message: null,
  shard,
});
const refused = (code: string, message: string, shard: ShardDescriptor | null): Outcome => ({
  outcome: 'REFUSED',
  code,
  message,
  shard,
});

async function present(deps: Deps, id: ShardId): Promise<ShardDescriptor | null> {
  return (await deps.directory.locate(id))?.shard ?? null;
}

async function refusedNow(
  deps: Deps,
  id: ShardId,
  error: { readonly code: string; readonly message?: string },
): Promise<Outcome> {
  return refused(error.code, error.message ?? REFUSALS[error.code] ?? error.code, await present(deps, id));
}

/** What became of a change of the descriptor, as a report's result. */
async function answerOf(
  deps: Deps,
  id: ShardId,
  outcome: Result<Changed, { readonly code: string; readonly message?: string }>,
): Promise<Outcome> {
  if (!outcome.ok) return refusedNow(deps, id, outcome.error);
  return outcome.value.kind === 'CHANGED' ? applied(outcome.value.shard) : nothing(outcome.value.shard);
}

/** What a node should do about a refusal. */
const REFUSALS: Readonly<Record<string, string>> = {
  EPOCH_STALE: 'The shard has another epoch. Take the descriptor.',
  GENERATION_STALE: 'The shard changed. Take the descriptor and propose again if it still holds.',
  NOT_LEADER: 'Another node, or another registration of this one, leads the shard. Take the descriptor.',
  REPLICA_UNKNOWN: 'The descriptor lists no such replica.',
  NOT_ENOUGH_IN_SYNC: 'The IN_SYNC list would fall below min_in_sync. The replica stays required.',
  LEADER_STAYS_IN_SYNC: 'A leader is never taken out of its own IN_SYNC list.',
  NO_MERGE: 'No merge asks for a seal of this shard any more. Take the descriptor.',
  NO_SPLIT_ASKED: 'The shard is not waiting for a split key of this operation. Take the descriptor.',
  KEY_OUT_OF_RANGE: 'The key does not divide the shard. Take the descriptor and choose again.',
};

async function replicaStatus(
  deps: Deps,
  reporter: Reporter,
  one: Extract<NodeReport, { type: 'replica_status' }>,
): Promise<Outcome> {
  const id = shardId(one.shard_id);
  const session = { nodeEpoch: nodeEpoch(one.node_epoch), storeUuid: storeUuid(one.store_uuid) };
  const outcome = await changeDescriptor<{ readonly code: string; readonly message?: string }>(
    deps,
    id,
    { principal: reporter.principal, action: `REPLICA_${one.sync_status}` as const },
    async (shard) => {
      const decided = decideStatusProposal(shard, {
        proposer: reporter,
        epoch: epoch(one.epoch),
        generation: generation(one.generation),
        replicaId: replicaId(one.replica_id),
        session,
        syncStatus: one.sync_status,
      });
      if (!decided.ok || decided.value === null || one.sync_status !== 'IN_SYNC') return decided;
      // Advice, not a condition (a check would conflict with renewals): an entry under a passed node epoch would be void at once.
      const replica = replicaById(shard, replicaId(one.replica_id));
      const liveness =
        replica === undefined ? undefined : (await readLiveness(deps, [replica.nodeId])).get(replica.nodeId);
      if (liveness?.nodeEpoch !== session.nodeEpoch || liveness.storeUuid !== session.storeUuid) {
        return err({
          code: 'SESSION_STALE',
          message: "The replica's node registered anew or was fenced. Open the session again.",
        });
      }
      return decided;
    },
  );
  return answerOf(deps, id, outcome);
}

/**
 * A follower hears nothing from its leader. The leader's node was fenced: elect, with the reporter's proof if it takes one
 * (E4). The leader is alive: it may not know of its role, or it is stuck (R3).
 */
async function silentLeader(
  deps: Deps,
  reporter: Reporter,
  one: Extract<NodeReport, { type: 'silent_leader' }>,
): Promise<Outcome> {
  const id = shardId(one.shard_id);
  const shard = await present(deps, id);
  if (shard === null)
    return refused(
      (await wasAbsorbed(deps, one)) ? 'SHARD_ABSORBED' : 'SHARD_NOT_FOUND',
      shardNotFound(id).message,
      null,
    );
  const entry = replicaById(shard, replicaId(one.replica_id));
  if (entry === undefined) {
    // A copy is listed before it is made, and its id is never listed again (R4): this one was removed, and the node does not know.
    await deps.commands.send([
      { nodeId: reporter.nodeId, type: 'remove_replica', replicaId: replicaId(one.replica_id), shard },
    ]);
    return refused('REPLICA_UNKNOWN', REFUSALS['REPLICA_UNKNOWN'] ?? '', shard);
  }
  if (entry.nodeId !== reporter.nodeId) return refused('REPLICA_UNKNOWN', REFUSALS['REPLICA_UNKNOWN'] ?? '', shard);
  const view = await readLiveness(deps, [shard.leader.nodeId]);
  if (leaderIsFenced(shard, view)) {
    const outcome = await ensureLeader(deps, reporter.principal, id, {
      replicaId: entry.replicaId,
      nodeId: reporter.nodeId,
      nodeEpoch: reporter.nodeEpoch,
      storeUuid: storeUuid(one.store_uuid),
      logIntact: one.log.intact,
    });
    // E4: with nobody to elect, what replicas hold is what an operator can decide by.
    if (!outcome.ok)
      await keepLog(deps, {
        shardId: id,
        replicaId: entry.replicaId,
        nodeId: reporter.nodeId,
        nodeEpoch: reporter.nodeEpoch,
        storeUuid: storeUuid(one.store_uuid),
        lastEpoch: one.log.last_epoch,
        lastSeq: one.log.last_seq,
        intact: one.log.intact,
        atMs: deps.clock.wallMs(),
      });
    return answerOf(deps, id, outcome);
  }
  const leader = view.get(shard.leader.nodeId);
  // Expired but not fenced: the detector's turn, or the brake's (L5).
  if (leader === undefined || isMarkedExpired(leader)) return nothing(shard);
  const inOfficeMs = deps.clock.wallMs() - shard.leaderSinceMs;
  const stuck =
    entry.syncStatus === 'IN_SYNC' &&
    one.epoch === shard.epoch &&
    shard.intent === null &&
    (one.silent_ms ?? 0) >= TRANSFER_AFTER_SILENCE_MS &&
    inOfficeMs >= LEADER_GRACE_MS;
  if (stuck) {
    const started = await startTransfer(deps, reporter.principal, id, entry.replicaId);
    return started.ok ? applied(started.value.shard) : refusedNow(deps, id, started.error);
  }
  // A new leader whose announcement was lost is told again. One in office for longer knows; one that does not renew is dying, and a
  // command for every shard of it from every follower would be a storm on the store just before its fence.
  const renewsMs = LEASE_PROFILES[leader.profile].renewMs;
  const renewing = deps.clock.wallMs() - leader.lastHeartbeatMs < 2 * renewsMs;
  if (renewing && inOfficeMs < ANNOUNCED_WITHIN_MS) await announceLeaders(deps, [shard]);
  return nothing(shard);
}

/**
 * Whether the range of a shard that is not there went on in another one: who holds its first key now has a higher epoch than the copy knows
 * (S2: a merged shard's epoch is above both parts'). That a shard is not found is no such proof: metadata may be lost, a copy of rows must not be with it.
 */
async function wasAbsorbed(deps: Deps, one: Extract<NodeReport, { type: 'silent_leader' }>): Promise<boolean> {
  if (one.begins === undefined) return false;
  const holder = await deps.directory.lookup(tableId(one.begins.table_id), encodedKey(one.begins.start_key));
  return holder !== null && holder.shard.epoch > one.epoch;
}

async function stepDownReceipt(
  deps: Deps,
  reporter: Reporter,
  one: Extract<NodeReport, { type: 'step_down_receipt' }>,
): Promise<Outcome> {
  const id = shardId(one.shard_id);
  const shard = await present(deps, id);
  if (shard === null) return refused('SHARD_NOT_FOUND', shardNotFound(id).message, null);
  // I-8, E1: a receipt is a promise of the registration that leads about itself; another one's bars nothing there (E2).
  if (shard.leader.nodeId !== reporter.nodeId || shard.leader.nodeEpoch !== reporter.nodeEpoch)
    return refused('NOT_LEADER', REFUSALS['NOT_LEADER'] ?? '', shard);
  const receipt = {
    replicaId: replicaId(one.replica_id),
    epoch: epoch(one.epoch),
    generation: generation(one.generation),
  };
  const { sealed } = one;
  if (sealed !== undefined && shard.state.kind === 'MERGING' && shard.intent === null) {
    const noted = await changeDescriptor<{ readonly code: string; readonly message?: string }>(
      deps,
      id,
      { principal: reporter.principal, action: 'SIDE_SEALED' },
      (present) => noteSeal(present, { ...receipt, sealed }),
    );
    return answerOf(deps, id, noted);
  }
  return answerOf(deps, id, await finishTransfer(deps, reporter.principal, id, receipt));
}

/** A wiped node holds nothing of a listed replica: it gets an empty copy to be caught up, never one that could be elected as it is (R2, R4). */
async function missingReplica(
  deps: Deps,
  reporter: Reporter,
  one: Extract<NodeReport, { type: 'missing_replica' }>,
): Promise<Outcome> {
  const id = shardId(one.shard_id);
  const shard = await present(deps, id);
  if (shard === null) return refused('SHARD_NOT_FOUND', shardNotFound(id).message, null);
  const checked = await missingReplicaRefusal(deps, shard, reporter, one);
  if (!checked.ok) return refused(checked.error.code, checked.error.message, shard);
  const table = await deps.records.get('table', { table: shard.table });
  if (table?.value.tableId !== shard.tableId || table.value.state === 'DELETING') {
    return refused('TABLE_NOT_ACTIVE', 'The table is being deleted.', shard);
  }
  await deps.commands.send([
    { nodeId: checked.value, type: 'create_replica', replicaId: replicaId(one.replica_id), shard },
  ]);
  return applied(shard);
}

async function missingReplicaRefusal(
  deps: Deps,
  shard: ShardDescriptor,
  reporter: Reporter,
  one: Extract<NodeReport, { type: 'missing_replica' }>,
): Promise<Result<NodeId, { readonly code: string; readonly message: string }>> {
  if (
    shard.leader.nodeId !== reporter.nodeId ||
    shard.leader.nodeEpoch !== reporter.nodeEpoch ||
    one.epoch !== shard.epoch
  ) {
    return err({ code: 'NOT_LEADER', message: REFUSALS['NOT_LEADER'] ?? '' });
  }
  const entry = replicaById(shard, replicaId(one.replica_id));
  if (entry === undefined) return err({ code: 'REPLICA_UNKNOWN', message: REFUSALS['REPLICA_UNKNOWN'] ?? '' });
  // The node's own registration decides, not what the leader last heard of it: the leader had no session to learn it from.
  const registration = (await readLiveness(deps, [entry.nodeId])).get(entry.nodeId);
  if (registration === undefined || !mayRecreateEmpty(entry, registration)) {
    return err({
      code: 'REPLICA_ELECTABLE',
      message:
        "The entry is IN_SYNC under the node's present epoch: an empty copy could be elected. It waits for the create command of its operation, or for the node to be fenced.",
    });
  }
  return ok(entry.nodeId);
}

/** The leader of a SPLITTING shard has chosen its split key, or found none (S1). */
async function splitKey(
  deps: Deps,
  reporter: Reporter,
  one: Extract<NodeReport, { type: 'split_key' }>,
): Promise<Outcome> {
  const id = shardId(one.shard_id);
  const outcome = await changeDescriptor<{ readonly code: string; readonly message?: string }>(
    deps,
    id,
    {
      principal: reporter.principal,
      action: one.split_key === null ? 'SPLIT_KEY_NOT_FOUND' : 'SPLIT_KEY_CHOSEN',
      detail: { operation_id: one.operation_id },
    },
    (shard) =>
      decideSplitKey(shard, {
        proposer: reporter,
        epoch: epoch(one.epoch),
        generation: generation(one.generation),
        operationId: operationId(one.operation_id),
        splitKey: one.split_key === null ? null : encodedKey(one.split_key),
      }),
  );
  return answerOf(deps, id, outcome);
}

async function commandAck(
  deps: Deps,
  reporter: Reporter,
  one: Extract<NodeReport, { type: 'command_ack' }>,
): Promise<Outcome> {
  return (await takeAcknowledgement(deps, reporter, one)) ?? applied(null);
}

/**
 * Takes an acknowledgement, by whatever message it came. A receipt in it completes its transfer (E2), or is kept for the merge that asked for
 * it (S2): before the acknowledgement, which lets that operation go on. Null: it carries none.
 */
export async function takeAcknowledgement(deps: Deps, reporter: Reporter, ack: CommandAck): Promise<Outcome | null> {
  const outcome =
    ack.receipt === null || ack.outcome !== 'DONE'
      ? null
      : await stepDownReceipt(deps, reporter, { type: 'step_down_receipt', ...ack.receipt });
  await deps.commands.acknowledge(reporter.nodeId, { ...ack, commandId: commandId(ack.command_id) });
  return outcome;
}
