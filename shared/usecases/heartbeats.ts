import { conflict, forbidden, unauthenticated, unavailable } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { nodeId, packId } from '../domain/ids.ts';
import type { NodeId, PackId } from '../domain/ids.ts';
import { renewMembers } from '../domain/liveness-pack.ts';
import type { PackedOutcome } from '../domain/liveness-pack.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import { err, invariant, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import { RENEWALS_DOCUMENT } from '../contracts/node/relay.ts';
import type { BeatResult, RelayedBeat, RenewalReceipt } from '../contracts/node/relay.ts';
import { SignerError } from '../ports.ts';
import type { Deps, Principal, Stored } from '../ports.ts';
import { answerBeat, refusalFault, renewLease } from './heartbeat.ts';
import type { RenewedLease } from './heartbeat.ts';
import type { UseCase } from './types.ts';

/** Heartbeats of many nodes through a relay (L1): one strong read and one conditional put for all members of a pack. */

/**
 * Puts under the pack's revision before a beat gives up. Others who write the pack: registrations, fences, mail, and members that
 * beat directly; each try is decided anew on the pack as the failed condition showed it.
 */
const PUT_ATTEMPTS_MAX = 8;
/** Store requests in flight for the beats that are handled one by one, and for what follows the renewals. */
const CONCURRENCY = 16;

type Renewed = Result<RenewedLease, Fault>;

interface Member {
  readonly index: number;
  readonly id: NodeId;
  readonly principal: Principal;
  readonly beat: RelayedBeat['beat'];
}

export const heartbeats: UseCase<'heartbeats'> = async (deps, _relay, { body }) => {
  const renewals = new Map<number, Renewed>();
  const members: Member[] = [];
  const packs = new Map<PackId, Member[]>();
  const alone: Member[] = [];
  await mapBounded(body.beats, CONCURRENCY, async (relayed, index) => {
    const principal = await speaker(deps, relayed);
    if (!principal.ok) {
      renewals.set(index, principal);
      return;
    }
    const member = { index, id: nodeId(relayed.node_id), principal: principal.value, beat: relayed.beat };
    members.push(member);
    if (relayed.lease_pack === null) alone.push(member);
    else {
      const pack = packId(relayed.lease_pack);
      packs.set(pack, [...(packs.get(pack) ?? []), member]);
    }
  });
  // A relay has one pack of its own; a node that came from another relay brings its pack along.
  await mapBounded([...packs], CONCURRENCY, async ([pack, beats]) => {
    const outcomes = await attempted(deps, () => renewPack(deps, pack, beats));
    for (const [position, member] of beats.entries()) {
      const outcome = outcomes.ok ? outcomes.value[position] : undefined;
      if (!outcomes.ok) renewals.set(member.index, outcomes);
      else if (outcome === undefined || outcome.kind === 'NOT_HERE') alone.push(member);
      else renewals.set(member.index, toRenewed(member, outcome));
    }
  });
  await mapBounded(alone, CONCURRENCY, async (member) => {
    const renewed = await attempted(deps, async () => renewLease(deps, member.id, member.beat));
    renewals.set(member.index, renewed.ok ? renewed.value : renewed);
  });
  // L3: whatever is answered from here on is committed.
  const results = new Array<BeatResult>(body.beats.length);
  for (const [index, renewed] of renewals) if (!renewed.ok) results[index] = refused(renewed.error);
  await mapBounded(members, CONCURRENCY, async (member) => {
    const renewed = renewals.get(member.index);
    invariant(renewed !== undefined, 'every beat was tried');
    if (!renewed.ok) return;
    const { id, principal, beat } = member;
    const answer = await attempted(deps, () => answerBeat(deps, principal, { id, lease: renewed.value, body: beat }));
    results[member.index] = answer.ok ? { outcome: 'RENEWED', answer: answer.value } : refused(answer.error);
  });
  return ok({ results, receipt: await receiptOf(deps, body.beats, results) });
};

/** A beat counts as its node's only under the node's own credential (I-8). */
async function speaker(deps: Deps, relayed: RelayedBeat): Promise<Result<Principal, Fault>> {
  const verified = await deps.tokens.verify(relayed.credential);
  if (!verified.ok) return err(unauthenticated('UNAUTHENTICATED', verified.error.message));
  if (verified.value.kind !== 'node' || verified.value.nodeId !== relayed.node_id)
    return err(forbidden('FORBIDDEN', `The credential is not that of ${relayed.node_id}: a relay speaks for nobody.`));
  return ok(verified.value);
}

/** Renews all that may, in one put under the revision that was read; who was fenced is left out, and the rest retried at once (L1). */
async function renewPack(deps: Deps, id: PackId, members: readonly Member[]): Promise<readonly PackedOutcome[]> {
  const beats = members.map(({ id: node, beat }) => ({
    nodeId: node,
    nodeEpoch: beat.node_epoch,
    incarnation: beat.incarnation,
    sequence: beat.sequence,
    attestation: beat.attestation,
  }));
  let stored: Stored<'livenessPack'> | null = await deps.records.get('livenessPack', { packId: id });
  for (let attempt = 0; attempt < PUT_ATTEMPTS_MAX && stored !== null; attempt++) {
    const renewal = renewMembers(stored.value, beats, deps.clock.wallMs());
    if (renewal.pack === null) return renewal.outcomes;
    const put = await deps.records.observe({
      kind: 'put',
      entity: 'livenessPack',
      value: renewal.pack,
      when: [{ kind: 'revision', is: stored.revision }],
    });
    if (put.ok) return renewal.outcomes;
    // The failed condition shows the pack as it is now.
    stored = put.error.current as Stored<'livenessPack'> | null;
  }
  if (stored === null) return beats.map(() => ({ kind: 'NOT_HERE' }));
  throw new Contended(`pack ${id} changed under ${PUT_ATTEMPTS_MAX} puts in a row`);
}

/** A pack that kept changing: nothing was renewed, and the nodes beat directly. */
class Contended extends Error {
  override readonly name = 'Contended';
}

/** One member's failure costs no other member its renewal. */
async function attempted<T>(deps: Deps, work: () => Promise<T>): Promise<Result<T, Fault>> {
  try {
    return ok(await work());
  } catch (error) {
    deps.log.warn('relayed-beat-failed', { message: String(error) });
    return error instanceof Contended
      ? err(conflict('CONFLICT', 'The pack keeps changing. Beat directly.'))
      : err(unavailable('STORE_UNAVAILABLE', 'The beat could not be stored or answered. Beat directly.'));
  }
}

function toRenewed(member: Member, outcome: Exclude<PackedOutcome, { kind: 'NOT_HERE' }>): Renewed {
  return outcome.kind === 'REFUSED' ? err(refusalFault(member.id, member.beat, outcome.refusal)) : ok(outcome.lease);
}

const refused = ({ code, message }: Fault): BeatResult => ({ outcome: 'REFUSED', code, message });

/** The renewals under the control plane's signature, so that no node depends on its relay's word. */
async function receiptOf(
  deps: Deps,
  beats: readonly RelayedBeat[],
  results: readonly BeatResult[],
): Promise<RenewalReceipt | null> {
  const renewed = beats.flatMap(({ node_id, beat }, index) => {
    const result = results[index];
    if (result?.outcome !== 'RENEWED') return [];
    return { node_id, node_epoch: beat.node_epoch, incarnation: beat.incarnation, sequence: result.answer.sequence };
  });
  if (renewed.length === 0) return null;
  const renewals = { document: RENEWALS_DOCUMENT, renewed } as const;
  try {
    return { renewals, ...(await deps.tokens.signCommand(renewals)) };
  } catch (error) {
    if (!(error instanceof SignerError)) throw error;
    deps.log.error('renewals-not-signed', { error });
    return null;
  }
}
