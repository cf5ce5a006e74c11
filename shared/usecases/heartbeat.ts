import { conflict, notFound } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { incarnation, nodeEpoch, nodeId } from '../domain/ids.ts';
import type { NodeId } from '../domain/ids.ts';
import type { LivenessRecord, PackPlace } from '../domain/lease.ts';
import { judgeBeat, packedLease } from '../domain/liveness-pack.ts';
import type { BeatRefusal, LivenessPack } from '../domain/liveness-pack.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Json } from '../domain/records.ts';
import { COMMANDS_PER_MESSAGE_MAX } from '../contracts/node/commands.ts';
import type { HeartbeatRequest, HeartbeatResponse } from '../contracts/node/heartbeat.ts';
import { SignerError } from '../ports.ts';
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
  const renewed = await renewLease(deps, id, body);
  return renewed.ok ? ok(await answerBeat(deps, principal, { id, lease: renewed.value, body })) : renewed;
};

/** What a renewal leaves behind, as far as its answer needs it. */
export type RenewedLease = Pick<LivenessRecord, 'nodeEpoch' | 'sequence' | 'mail'>;

/** Renews one lease where it lives: in the node's own item, or, the second try, in the slot of its pack. */
export async function renewLease(deps: Deps, id: NodeId, beat: HeartbeatRequest): Promise<Result<RenewedLease, Fault>> {
  const renewed = await deps.records.observe({
    kind: 'update',
    entity: 'liveness',
    id: { nodeId: id },
    set: { sequence: beat.sequence, lastHeartbeatMs: deps.clock.wallMs(), attestation: beat.attestation },
    when: [
      { kind: 'equals', field: 'nodeEpoch', value: beat.node_epoch },
      { kind: 'equals', field: 'incarnation', value: beat.incarnation },
      { kind: 'equals', field: 'released', value: false },
      { kind: 'below', field: 'sequence', value: beat.sequence },
    ],
  });
  if (renewed.ok) return ok(valueOf(renewed.value));
  const stored = renewed.error.current?.value as LivenessRecord | undefined;
  if (stored === undefined) return err(notFound('NODE_NOT_FOUND', `No node is registered as ${id}. Register first.`));
  // The item of a packed lease is held by nobody, so the condition above fails for it.
  return stored.pack === null ? refusedOrRepeated(id, stored, beat) : renewSlot(deps, id, stored.pack, beat);
}

/** A beat without its relay: the same conditions on the slot, which other members' beats do not disturb. */
async function renewSlot(
  deps: Deps,
  id: NodeId,
  { packId, slot }: PackPlace,
  beat: HeartbeatRequest,
): Promise<Result<RenewedLease, Fault>> {
  const set = (field: string, value: number) => ({ kind: 'set', field, entry: slot, value }) as const;
  const renewed = await deps.records.observe({
    kind: 'update',
    entity: 'livenessPack',
    id: { packId },
    set: {},
    entries: [
      set('sequences', beat.sequence),
      set('attestations', beat.attestation),
      set('heartbeats', deps.clock.wallMs()),
    ],
    when: [
      { kind: 'equals', field: ['members', slot], value: id },
      { kind: 'equals', field: ['nodeEpochs', slot], value: beat.node_epoch },
      { kind: 'equals', field: ['incarnations', slot], value: beat.incarnation },
      { kind: 'equals', field: ['released', slot], value: false },
      { kind: 'below', field: ['sequences', slot], value: beat.sequence },
    ],
  });
  const pack = renewed.ok ? valueOf(renewed.value) : (renewed.error.current?.value as LivenessPack | undefined);
  const lease = pack === undefined ? null : packedLease(pack, slot, id);
  if (lease === null) return err(refusalFault(id, beat, null)); // it left its slot: its node epoch is over
  return renewed.ok ? ok(lease) : refusedOrRepeated(id, lease, beat);
}

/** Why a beat did not renew; the stored lease if that is this very beat, whose first answer was lost. */
function refusedOrRepeated(
  id: NodeId,
  stored: Pick<LivenessRecord, 'nodeEpoch' | 'incarnation' | 'sequence' | 'released' | 'mail'>,
  beat: HeartbeatRequest,
): Result<RenewedLease, Fault> {
  const verdict = judgeBeat(stored, {
    nodeEpoch: beat.node_epoch,
    incarnation: beat.incarnation,
    sequence: beat.sequence,
  });
  if (!verdict.ok) return err(refusalFault(id, beat, verdict.error));
  if (verdict.value === 'REPEATED') return ok(stored);
  // The condition and this judgement say the same of the same item.
  throw new Error(`a beat of ${id} was refused that should have renewed`);
}

/** `refusal` null: the lease is not where it was; it moves only with its node epoch. */
export function refusalFault(
  id: NodeId,
  beat: { readonly node_epoch: number; readonly sequence: number },
  refusal: BeatRefusal | null,
): Fault {
  if (refusal?.code === 'SEQUENCE_STALE') {
    return conflict(
      'SEQUENCE_STALE',
      `Sequence ${beat.sequence} is not above ${refusal.sequence}. Send a higher one.`,
      { detail: { sequence: refusal.sequence } },
    );
  }
  return conflict(
    'NODE_FENCED',
    `Node epoch ${beat.node_epoch} of ${id} was fenced; everything it led is void. Register again as a new incarnation.`,
    {
      detail: {
        presented_node_epoch: beat.node_epoch,
        ...(refusal === null ? {} : { node_epoch: refusal.nodeEpoch }),
      },
    },
  );
}

function valueOf<T>(stored: { readonly value: T } | null): T {
  if (stored === null) throw new Error('an update returned no item');
  return stored.value;
}

/** What follows a renewal, and its answer: acknowledgements, statistics, waiting commands, a fresh credential. */
export async function answerBeat(
  deps: Deps,
  principal: Principal,
  beat: { readonly id: NodeId; readonly lease: RenewedLease; readonly body: HeartbeatRequest },
): Promise<HeartbeatResponse> {
  const { id, lease, body } = beat;
  const reporter = { nodeId: id, nodeEpoch: lease.nodeEpoch, principal };
  for (const ack of body.acks ?? []) await takeAcknowledgement(deps, reporter, ack);
  if (body.stats !== undefined) {
    // Parsed from JSON: a field that is left out is absent, not undefined.
    await keepStats(deps, id, body.node_epoch, storable(body.stats as unknown as Json));
  }
  const commands = lease.mail > (body.mail_seen ?? 0) ? await deps.commands.pending(id, COMMANDS_PER_MESSAGE_MAX) : [];
  return {
    status: 'success',
    sequence: lease.sequence,
    node_epoch: lease.nodeEpoch,
    mail: lease.mail,
    commands: commands as unknown as HeartbeatResponse['commands'],
    credential: await freshCredential(deps, principal),
  };
}

/** Measures nearer to zero than this are zero: no unit in use is so fine, and no store holds numbers of any magnitude. */
const MEASURE_MIN = 1e-100;

function storable(stats: Json): Json {
  if (typeof stats === 'number') return stats < MEASURE_MIN ? 0 : stats;
  if (typeof stats !== 'object' || stats === null) return stats;
  if (Array.isArray(stats)) return (stats as readonly Json[]).map(storable);
  const fields = Object.entries(stats as Readonly<Record<string, Json | undefined>>);
  return Object.fromEntries(
    fields.flatMap(([name, value]) => (value === undefined ? [] : [[name, storable(value)] as const])),
  );
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
  const { nodeId: id, nodeEpoch: epoch, incarnation: held } = principal;
  try {
    return await deps.tokens.issue(
      { kind: 'node', nodeId: id, nodeEpoch: epoch, incarnation: held },
      NODE_CREDENTIAL_LIFETIME_MS,
    );
  } catch (error) {
    if (!(error instanceof SignerError)) throw error;
    // The lease must not hang on a key: the credential is good for as long again, and the next beat asks once more.
    deps.log.error('credential-not-renewed', { nodeId: id, error });
    return null;
  }
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
  const stored = released.error.current?.value as LivenessRecord | undefined;
  if (stored === undefined) return err(notFound('NODE_NOT_FOUND', `No node is registered as ${id}.`));
  if (stored.pack !== null && (await releaseSlot(deps, id, stored.pack, body))) return ok({ status: 'success' });
  return err(conflict('NODE_FENCED', `Node epoch ${body.node_epoch} of ${id} is not in force any more.`));
};

async function releaseSlot(
  deps: Deps,
  id: NodeId,
  { packId, slot }: PackPlace,
  body: { readonly node_epoch: number; readonly incarnation: string },
): Promise<boolean> {
  const released = await deps.records.observe({
    kind: 'update',
    entity: 'livenessPack',
    id: { packId },
    set: {},
    entries: [{ kind: 'set', field: 'released', entry: slot, value: true }],
    when: [
      { kind: 'equals', field: ['members', slot], value: id },
      { kind: 'equals', field: ['nodeEpochs', slot], value: body.node_epoch },
      { kind: 'equals', field: ['incarnations', slot], value: body.incarnation },
    ],
  });
  return released.ok;
}
