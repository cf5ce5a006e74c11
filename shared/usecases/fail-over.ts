import { allEntriesVoid, leaderIsFenced } from '../domain/election.ts';
import type { ElectionRefusal, LivenessView, VoidProof } from '../domain/election.ts';
import type { Fault } from '../domain/faults.ts';
import type { NodeId, ShardId } from '../domain/ids.ts';
import type { LivenessRecord } from '../domain/lease.ts';
import type { NodeReplica } from '../domain/records.ts';
import { ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { ShardDescriptor } from '../domain/shard.ts';
import { replicaOn } from '../domain/shard.ts';
import { decideShrink } from '../domain/replication.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import type { CommandDraft, Deps, LocatedShard, Principal } from '../ports.ts';
import { STORE_CONCURRENCY } from './concurrency.ts';
import { changeDescriptor, changeLocated } from './descriptor-change.ts';
import type { Changed } from './descriptor-change.ts';
import { electionJournal } from './election-journal.ts';
import { readLiveness } from './liveness-view.ts';

/** What follows a fence: elections for the shards that the node led, then its IN_SYNC entries, until the fence is closed (E1, E3). */

/** Pointers read in one step of a sweep: one query page and at most that many strong reads. */
const SWEEP_PAGE = 256;
/** Pages of one sweep: a node with more replicas than 256,000 is a bug. */
const SWEEP_PAGES_MAX = 1000;
/** Elections that are announced in one message to a node. */
const ANNOUNCE_EVERY = 64;

export interface SweepResult {
  /** Void leaderships and IN_SYNC entries found, whether they could be settled or not. */
  readonly found: number;
  readonly elected: number;
  /** Shards for which no candidate is left for now. */
  readonly leaderless: readonly ShardId[];
}

/**
 * One strong sweep over a fenced node's replica rows (E3): elects leaders for shards that it led under an older node epoch, then
 * takes its void entries out of the IN_SYNC lists. The fence must have been committed before (E1).
 */
export async function sweepFencedNode(deps: Deps, principal: Principal, fenced: LivenessRecord): Promise<SweepResult> {
  const leadersOn = new Map<NodeId, number>();
  let found = 0;
  let elected = 0;
  const leaderless: ShardId[] = [];
  const followed: LocatedShard[] = [];
  const visit = async (pointers: readonly NodeReplica[]): Promise<void> => {
    // E1: descriptors are read after the fence, candidates after the descriptors.
    const located = (await deps.directory.resolve(pointers)).filter((entry) => entry !== null);
    const led = located.filter(({ shard }) => isVoidLeadership(shard, fenced));
    followed.push(...located.filter(({ shard }) => isVoidEntry(shard, fenced)));
    if (led.length === 0) return;
    found += led.length;
    const view = await readLiveness(
      deps,
      led.flatMap(({ shard }) => shard.replicas.map((replica) => replica.nodeId)),
    );
    for (let i = 0; i < led.length; i += ANNOUNCE_EVERY) {
      const outcomes = await mapBounded(led.slice(i, i + ANNOUNCE_EVERY), STORE_CONCURRENCY, (entry) =>
        elect(deps, principal, entry, view, leadersOn),
      );
      const changed = outcomes.filter((outcome) => outcome.kind === 'ELECTED').map((outcome) => outcome.shard);
      leaderless.push(
        ...outcomes.filter((outcome) => outcome.kind === 'LEADERLESS').map((outcome) => outcome.shard.shardId),
      );
      elected += changed.length;
      await announceLeaders(deps, changed);
    }
  };
  let after: string | undefined;
  for (let page = 0; ; page++) {
    if (page === SWEEP_PAGES_MAX)
      throw new Error(`node ${fenced.nodeId} holds more than ${SWEEP_PAGES_MAX * SWEEP_PAGE} replicas`);
    const answer = await deps.directory.replicasOn(fenced.nodeId, {
      limit: SWEEP_PAGE,
      ...(after === undefined ? {} : { after }),
    });
    await visit(answer.replicas);
    if (answer.next === null) break;
    after = answer.next;
  }
  found += followed.length;
  await shrinkFollowed(deps, principal, fenced, followed);
  return { found, elected, leaderless };
}

export const isVoidLeadership = (shard: ShardDescriptor, liveness: LivenessRecord): boolean =>
  shard.leader.nodeId === liveness.nodeId && shard.leader.nodeEpoch < liveness.nodeEpoch;

function isVoidEntry(shard: ShardDescriptor, liveness: LivenessRecord): boolean {
  const entry = replicaOn(shard, liveness.nodeId);
  if (entry === undefined || shard.leader.nodeId === liveness.nodeId) return false;
  return entry.syncStatus === 'IN_SYNC' && entry.nodeEpoch < liveness.nodeEpoch;
}

type Outcome = { readonly kind: 'ELECTED' | 'LEADERLESS' | 'SETTLED'; readonly shard: ShardDescriptor };

async function elect(
  deps: Deps,
  principal: Principal,
  located: LocatedShard,
  view: LivenessView,
  leadersOn: Map<NodeId, number>,
): Promise<Outcome> {
  const { shard } = located;
  const journal = electionJournal(deps, principal);
  const outcome = await changeLocated<ElectionRefusal>(
    deps,
    located,
    { principal, action: 'LEADER_ELECTED', also: journal.writes },
    (present) =>
      journal.elect(present, view, {
        leadersOn: (nodeId) => leadersOn.get(nodeId) ?? 0,
        random: () => deps.random.next(),
        nowMs: deps.clock.wallMs(),
      }),
  );
  if (!outcome.ok) {
    await journal.refused();
    deps.log.warn('election-refused', { shardId: shard.shardId, ...outcome.error });
    return { kind: outcome.error.code === 'LEADER_NOT_FENCED' ? 'SETTLED' : 'LEADERLESS', shard };
  }
  // Raced: whoever changed the shard, the next sweep sees the result.
  if (outcome.value === 'RACED' || outcome.value.kind === 'UNCHANGED') return { kind: 'SETTLED', shard };
  const leader = outcome.value.shard.leader.nodeId;
  leadersOn.set(leader, (leadersOn.get(leader) ?? 0) + 1);
  return { kind: 'ELECTED', shard: outcome.value.shard };
}

/** Marks the node's void entries OFFLINE where the list stays large enough (R3). A node that is back is left to its shards' leaders (R2). */
async function shrinkFollowed(
  deps: Deps,
  principal: Principal,
  fenced: LivenessRecord,
  followed: readonly LocatedShard[],
): Promise<void> {
  if (fenced.incarnation !== null) return;
  const changed = await mapBounded(followed, STORE_CONCURRENCY, async (located) => {
    const outcome = await changeLocated(deps, located, { principal, action: 'REPLICA_OFFLINE' }, (present) => {
      const entry = replicaOn(present, fenced.nodeId);
      return entry === undefined ? ok(null) : decideShrink(present, entry, 'OFFLINE');
    });
    return outcome.ok && outcome.value !== 'RACED' && outcome.value.kind === 'CHANGED' ? outcome.value.shard : null;
  });
  await announceDescriptors(
    deps,
    changed.filter((shard) => shard !== null),
  );
}

/** Tells new leaders of their role: push first, mailbox else. Clients that arrive with the new epoch are the third way (DESIGN section 5). */
export async function announceLeaders(deps: Deps, shards: readonly ShardDescriptor[]): Promise<void> {
  await announce(deps, shards, 'become_leader');
}

/** Tells leaders of a newer generation of their shards, so that they drop what left the IN_SYNC list (R1). */
export async function announceDescriptors(deps: Deps, shards: readonly ShardDescriptor[]): Promise<void> {
  await announce(deps, shards, 'apply_descriptor');
}

async function announce(deps: Deps, shards: readonly ShardDescriptor[], type: CommandDraft['type']): Promise<void> {
  if (shards.length === 0) return;
  try {
    await deps.commands.send(
      shards.map((shard) => ({ nodeId: shard.leader.nodeId, type, replicaId: shard.leader.replicaId, shard })),
    );
  } catch (error) {
    // The change is committed; who could not be told learns of it from a follower's report or from a client (R3, R6).
    deps.log.warn('announcement-lost', { type, shards: shards.length, message: String(error) });
  }
}

/**
 * Sees to it that a shard whose leader's node was fenced gets a leader; `proof` allows an election of the void (E4). Returns
 * the shard as it is afterwards.
 */
export async function ensureLeader(
  deps: Deps,
  principal: Principal,
  shardId: ShardId,
  proof: VoidProof | null,
): Promise<Result<Changed, ElectionRefusal | Fault>> {
  let fromVoid = false;
  const journal = electionJournal(deps, principal);
  const outcome = await changeDescriptor<ElectionRefusal>(
    deps,
    shardId,
    {
      principal,
      action: 'LEADER_ELECTED',
      also: journal.writes,
      ...(proof === null ? {} : { detail: { proof_of: proof.nodeId } }),
    },
    async (shard) => {
      const view = await readLiveness(
        deps,
        shard.replicas.map((replica) => replica.nodeId),
      );
      if (!leaderIsFenced(shard, view)) return ok(null);
      fromVoid = proof !== null && allEntriesVoid(shard, view);
      const nowMs = deps.clock.wallMs();
      return fromVoid && proof !== null
        ? journal.electFromVoid(shard, view, proof, nowMs)
        : journal.elect(shard, view, { leadersOn: () => 0, random: () => deps.random.next(), nowMs });
    },
  );
  if (!outcome.ok) await journal.refused();
  if (outcome.ok && outcome.value.kind === 'CHANGED') {
    if (fromVoid) deps.log.warn('elected-from-void', { shardId, nodeId: outcome.value.shard.leader.nodeId });
    await announceLeaders(deps, [outcome.value.shard]);
  }
  return outcome;
}

/** Notes the result of a sweep in the Liveness item: two successive clean sweeps close the fence (E3). */
export async function noteSweep(deps: Deps, fenced: LivenessRecord, clean: boolean): Promise<void> {
  const open = fenced.openFence;
  if (open === null) return;
  const cleanSweeps = clean ? open.cleanSweeps + 1 : 0;
  if (cleanSweeps === open.cleanSweeps) return;
  await deps.records.observe({
    kind: 'update',
    entity: 'liveness',
    id: { nodeId: fenced.nodeId },
    set: { openFence: cleanSweeps >= CLEAN_SWEEPS_TO_CLOSE ? null : { cleanSweeps } },
    // A newer fence opens anew: the count belongs to this node epoch and to the count that was read.
    when: [
      { kind: 'equals', field: 'nodeEpoch', value: fenced.nodeEpoch },
      { kind: 'equals', field: ['openFence', 'cleanSweeps'], value: open.cleanSweeps },
    ],
  });
}

/** E3: an election that read its candidates before the fence can still commit behind the first clean sweep. */
const CLEAN_SWEEPS_TO_CLOSE = 2;
