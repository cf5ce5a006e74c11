import { conflict, notFound } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { incarnation, nodeEpoch, nodeId } from '../domain/ids.ts';
import type { NodeId } from '../domain/ids.ts';
import type { LivenessRecord } from '../domain/lease.ts';
import { err, ok } from '../domain/result.ts';
import type { Json } from '../domain/records.ts';
import { COMMANDS_PER_MESSAGE_MAX } from '../contracts/node/commands.ts';
import type { HeartbeatResponse } from '../contracts/node/heartbeat.ts';
import type { Deps, Principal } from '../ports.ts';
import { NODE_CREDENTIAL_LIFETIME_MS } from './register-node.ts';
import { takeAcknowledgement } from './reports.ts';
import type { UseCase } from './types.ts';

/**
 * Renews a lease (L1): one conditional update, same node epoch and incarnation, higher sequence. Acknowledged only after
 * the commit. Commands are fetched only when the mailbox moved, so that a plain beat costs one write.
 */
export const heartbeat: UseCase<'heartbeat'> = async (deps, principal, { params, body }) => {
  const id = nodeId(params.node_id);
  const renewed = await deps.records.observe({
    kind: 'update',
    entity: 'liveness',
    id: { nodeId: id },
    set: { sequence: body.sequence, lastHeartbeatMs: deps.clock.wallMs(), attestation: body.attestation },
    when: [
      { kind: 'equals', field: 'nodeEpoch', value: body.node_epoch },
      { kind: 'equals', field: 'incarnation', value: body.incarnation },
      { kind: 'equals', field: 'released', value: false },
      { kind: 'below', field: 'sequence', value: body.sequence },
    ],
  });
  let current: LivenessRecord;
  if (renewed.ok) {
    if (renewed.value === null) throw new Error('an update returned no item');
    current = renewed.value.value;
  } else {
    const stored = renewed.error.current?.value as LivenessRecord | undefined;
    if (stored === undefined) return err(notFound('NODE_NOT_FOUND', `No node is registered as ${id}. Register first.`));
    const refused = refusal(stored, body);
    if (refused !== null) return err(refused);
    current = stored; // the same beat again: its first answer was lost
  }
  const reporter = { nodeId: id, nodeEpoch: current.nodeEpoch, principal };
  for (const ack of body.acks ?? []) await takeAcknowledgement(deps, reporter, ack);
  if (body.stats !== undefined) await keepStats(deps, id, body.node_epoch, body.stats);
  const commands =
    current.mail > (body.mail_seen ?? 0) ? await deps.commands.pending(id, COMMANDS_PER_MESSAGE_MAX) : [];
  return ok({
    status: 'success',
    sequence: current.sequence,
    node_epoch: current.nodeEpoch,
    mail: current.mail,
    commands: commands as unknown as HeartbeatResponse['commands'],
    credential: await freshCredential(deps, principal),
  });
};

/** Why a beat did not renew; null if the stored state is this very beat. */
function refusal(
  stored: LivenessRecord,
  beat: { readonly node_epoch: number; readonly incarnation: string; readonly sequence: number },
): Fault | null {
  if (stored.nodeEpoch !== beat.node_epoch || stored.incarnation !== beat.incarnation || stored.released) {
    return conflict(
      'NODE_FENCED',
      `Node epoch ${beat.node_epoch} of ${stored.nodeId} was fenced; everything it led is void. Register again as a new incarnation.`,
      { detail: { node_epoch: stored.nodeEpoch, presented_node_epoch: beat.node_epoch } },
    );
  }
  if (stored.sequence === beat.sequence) return null;
  return conflict('SEQUENCE_STALE', `Sequence ${beat.sequence} is not above ${stored.sequence}. Send a higher one.`, {
    detail: { sequence: stored.sequence },
  });
}

/** Statistics are overwritten by the last beat that carries some; nothing decides on their being the newest. */
async function keepStats(deps: Deps, id: NodeId, epoch: number, stats: Json): Promise<void> {
  const value = { nodeId: id, nodeEpoch: epoch, stats, atMs: deps.clock.wallMs() };
  const updated = await deps.records.observe({
    kind: 'update',
    entity: 'nodeStats',
    id: { nodeId: id },
    set: value,
    when: [],
  });
  if (!updated.ok) {
    await deps.records.observe({ kind: 'put', entity: 'nodeStats', value, when: [{ kind: 'absent' }] });
  }
}

async function freshCredential(deps: Deps, principal: Principal): Promise<string | null> {
  if (principal.kind !== 'node') return null;
  const halfLife = principal.issuedAtMs + (principal.expiresAtMs - principal.issuedAtMs) / 2;
  if (deps.clock.wallMs() < halfLife) return null;
  return deps.tokens.issue(
    {
      kind: 'node',
      nodeId: principal.nodeId,
      nodeEpoch: principal.nodeEpoch,
      incarnation: principal.incarnation,
    },
    NODE_CREDENTIAL_LIFETIME_MS,
  );
}

/** The incarnation gives up its lease (L4): it never renews again, and its node may be fenced and registered at once. */
export const releaseNode: UseCase<'releaseNode'> = async (deps, _principal, { params, body }) => {
  const id = nodeId(params.node_id);
  const released = await deps.records.observe({
    kind: 'update',
    entity: 'liveness',
    id: { nodeId: id },
    set: { released: true },
    when: [
      { kind: 'equals', field: 'nodeEpoch', value: nodeEpoch(body.node_epoch) },
      { kind: 'equals', field: 'incarnation', value: incarnation(body.incarnation) },
    ],
  });
  if (released.ok) return ok({ status: 'success' });
  if (released.error.current === null) return err(notFound('NODE_NOT_FOUND', `No node is registered as ${id}.`));
  return err(conflict('NODE_FENCED', `Node epoch ${body.node_epoch} of ${id} is not in force any more.`));
};
