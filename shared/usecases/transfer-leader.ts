import type { Decided } from '../domain/decision.ts';
import { rejectionOf } from '../domain/election.ts';
import type { LivenessView, RejectionCode } from '../domain/election.ts';
import { conflict, notFound } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { nodeId, shardId } from '../domain/ids.ts';
import type { ReplicaId, ShardId } from '../domain/ids.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import { replicaById, replicaOn } from '../domain/shard.ts';
import type { Replica, ShardDescriptor } from '../domain/shard.ts';
import { completeTransfer, decideTransfer } from '../domain/transfer.ts';
import type { CompletionRefusal, Receipt, TransferRefusal } from '../domain/transfer.ts';
import type { Deps, Principal } from '../ports.ts';
import { changeDescriptor, shardNotFound } from './descriptor-change.ts';
import type { Changed } from './descriptor-change.ts';
import { asJson, decisionWrite, noteRefusal } from './decisions.ts';
import { announceLeaders, ensureLeader } from './fail-over.ts';
import { readLiveness } from './liveness-view.ts';
import type { UseCase } from './types.ts';

/** Transfer of leadership: intent in the descriptor, step-down receipt, commit (E2). A crash after the intent leaves work for the reconciler. */

/** DESIGN section 8, call 9: without a receipt in 10 s the caller gets STEP_DOWN_PENDING and the reconciler goes on. */
export const RECEIPT_WAIT_MS = 10_000;
/** Pause between two looks at the descriptor while the receipt may come by another way. */
const RECEIPT_POLL_MS = 250;

export const setLeader: UseCase<'setLeader'> = async (deps, principal, { params, body }) => {
  const id = shardId(params.shard_id);
  const located = await deps.directory.locate(id);
  if (located === null) return err(shardNotFound(id));
  const target = replicaOn(located.shard, nodeId(body.new_leader_node_id));
  if (target === undefined) {
    const node = await deps.records.get('node', { nodeId: nodeId(body.new_leader_node_id) });
    return node === null
      ? err(
          notFound(
            'NODE_NOT_FOUND',
            `No node is registered as ${body.new_leader_node_id}. List nodes with GET /cluster/nodes.`,
          ),
        )
      : err(
          conflict(
            'REPLICA_UNKNOWN',
            `Node ${body.new_leader_node_id} holds no replica of shard ${id}. Its replicas are on ${located.shard.replicas.map((replica) => replica.nodeId).join(', ')}.`,
          ),
        );
  }
  // The old leader may be gone already: then a leader is elected, and the transfer starts from there. A request that is refused elects nobody.
  const led = (await refuses(deps, located.shard, target)) ? ok(null) : await ensureLeader(deps, principal, id, null);
  if (!led.ok && led.error.code === 'NO_CANDIDATE') {
    return err(
      conflict('NOT_ENOUGH_IN_SYNC', `Shard ${id} has no live IN_SYNC replica to lead it. Bring a node of it back.`),
    );
  }
  const started = await startTransfer(deps, principal, id, target.replicaId);
  if (!started.ok) return err(transferFault(started.error, id, located.shard));
  const final =
    started.value.kind === 'ALREADY_LEADER'
      ? started.value.shard
      : await awaitTransfer(deps, id, target.replicaId, started.value.shard);
  if (final === null) {
    return err(
      conflict(
        'STEP_DOWN_PENDING',
        `The leader of shard ${id} has not confirmed that it stepped down. The transfer goes on by itself; look at GET /shards/${id}.`,
        {
          retryAfterSeconds: RECEIPT_WAIT_MS / 1000,
        },
      ),
    );
  }
  if (final.leader.replicaId !== target.replicaId) {
    return err(
      conflict(
        'CONFLICT',
        `Shard ${id} got ${final.leader.nodeId} as leader meanwhile: ${body.new_leader_node_id} could not lead any more.`,
      ),
    );
  }
  return ok({
    status: 'success',
    message: `Node ${body.new_leader_node_id} is now leader for shard ${id}`,
    shard_id: id,
    epoch: final.epoch,
    generation: final.generation,
  });
};

/** The target can't lead, and another replica can. If none can, the election says so. */
async function refuses(deps: Deps, shard: ShardDescriptor, target: Replica): Promise<boolean> {
  const view = await readLiveness(
    deps,
    shard.replicas.map((replica) => replica.nodeId),
  );
  return rejectionOf(target, view) !== null && shard.replicas.some((replica) => rejectionOf(replica, view) === null);
}

export type Started = { readonly kind: 'STARTED' | 'ALREADY_LEADER'; readonly shard: ShardDescriptor };

/** Writes the intent (or finds it) and asks the leader to step down. A receipt that comes with the push is committed at once. */
export async function startTransfer(
  deps: Deps,
  principal: Principal,
  id: ShardId,
  target: ReplicaId,
): Promise<Result<Started, TransferRefusal | Fault>> {
  let already = false;
  let noted: Decided | null = null;
  const outcome = await changeDescriptor<TransferRefusal>(
    deps,
    id,
    {
      principal,
      action: 'TRANSFER_STARTED',
      detail: { target },
      also: () => (noted === null ? [] : [decisionWrite(deps, principal, noted)]),
    },
    async (shard) => {
      const view = await readLiveness(
        deps,
        shard.replicas.map((replica) => replica.nodeId),
      );
      const step = decideTransfer(shard, target, view);
      noted = transferDecision(shard, target, view, step);
      if (!step.ok) return step;
      already = step.value.kind === 'ALREADY_LEADER';
      return ok(step.value.kind === 'WRITE_INTENT' ? step.value.shard : null);
    },
  );
  if (!outcome.ok) {
    if (noted !== null) await noteRefusal(deps, principal, noted);
    return outcome;
  }
  if (already) return ok({ kind: 'ALREADY_LEADER', shard: outcome.value.shard });
  return ok({ kind: 'STARTED', shard: await askToStepDown(deps, principal, outcome.value.shard) });
}

function transferDecision(
  shard: ShardDescriptor,
  target: ReplicaId,
  view: LivenessView,
  step: ReturnType<typeof decideTransfer>,
): Decided {
  const rejected = step.ok
    ? []
    : [{ candidate: target, code: step.error.code === 'REPLICA_NOT_IN_SYNC' ? step.error.reason : step.error.code }];
  return {
    entity: `shard:${shard.shardId}`,
    kind: 'TRANSFER',
    code: step.ok ? step.value.kind : step.error.code,
    inputs: asJson({ shard, target, liveness: [...view.values()] }),
    rejected,
    outcome: step.ok ? { target } : null,
  };
}

/** Sends step_down to the leader; returns the shard after the transfer if the receipt came with the answer. */
export async function askToStepDown(
  deps: Deps,
  principal: Principal,
  shard: ShardDescriptor,
): Promise<ShardDescriptor> {
  const [answer] = await deps.commands.send([
    { nodeId: shard.leader.nodeId, type: 'step_down', replicaId: shard.leader.replicaId, shard },
  ]);
  if (answer === undefined || answer.outcome !== 'DONE' || answer.receipt === null) return shard;
  const finished = await finishTransfer(deps, principal, shard.shardId, {
    replicaId: shard.leader.replicaId,
    ...answer.receipt,
  });
  return finished.ok ? finished.value.shard : shard;
}

/** Commits the new leader under a receipt (E2) and tells it. */
export async function finishTransfer(
  deps: Deps,
  principal: Principal,
  id: ShardId,
  receipt: Receipt,
): Promise<Result<Changed, CompletionRefusal | Fault>> {
  const outcome = await changeDescriptor<CompletionRefusal>(
    deps,
    id,
    { principal, action: 'LEADER_TRANSFERRED' },
    async (shard) => {
      // A receipt that was used already: the transfer stands.
      if (shard.intent === null && receipt.epoch < shard.epoch) return ok(null);
      const view = await readLiveness(
        deps,
        shard.replicas.map((replica) => replica.nodeId),
      );
      return completeTransfer(shard, receipt, view, deps.clock.wallMs());
    },
  );
  if (outcome.ok && outcome.value.kind === 'CHANGED') await announceLeaders(deps, [outcome.value.shard]);
  return outcome;
}

/** The shard once its intent is gone; null after RECEIPT_WAIT_MS. */
async function awaitTransfer(
  deps: Deps,
  id: ShardId,
  target: ReplicaId,
  first: ShardDescriptor,
): Promise<ShardDescriptor | null> {
  const deadlineMs = deps.clock.monotonicMs() + RECEIPT_WAIT_MS;
  let shard: ShardDescriptor | null = first;
  while (shard !== null && shard.intent?.targetReplicaId === target) {
    if (deps.clock.monotonicMs() >= deadlineMs) return null;
    await deps.timers.sleep(RECEIPT_POLL_MS);
    shard = (await deps.directory.locate(id))?.shard ?? null;
  }
  return shard;
}

function transferFault(refusal: TransferRefusal | Fault, id: ShardId, shard: ShardDescriptor): Fault {
  if ('kind' in refusal) return refusal;
  switch (refusal.code) {
    case 'REPLICA_UNKNOWN':
      return conflict('REPLICA_UNKNOWN', `The node holds no replica of shard ${id} any more.`);
    case 'REPLICA_NOT_IN_SYNC':
      return conflict('REPLICA_NOT_IN_SYNC', `The node can't lead shard ${id}: ${NOT_ABLE[refusal.reason]}`, {
        detail: { reason: refusal.reason },
      });
    case 'TRANSFER_PENDING': {
      const pending = replicaById(shard, refusal.targetReplicaId)?.nodeId ?? refusal.targetReplicaId;
      return conflict('TRANSFER_PENDING', `A transfer of shard ${id} to ${pending} is under way. Wait for it.`, {
        detail: { target: pending },
      });
    }
  }
}

const NOT_ABLE: Readonly<Record<RejectionCode, string>> = {
  NOT_IN_SYNC: 'its replica does not hold every acknowledged write. Wait until it is IN_SYNC.',
  NODE_UNKNOWN: 'the node is not registered.',
  ENTRY_VOID: 'the node registered anew and its replica has not caught up under the new node epoch. Wait a moment.',
  NODE_FENCED: 'the node is fenced.',
  NODE_RELEASED: 'the node is stopping.',
  NODE_EXPIRED: 'the lease of the node has expired.',
};
