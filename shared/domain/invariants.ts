import { compareKeys, KEY_SPACE_START } from './keys.ts';
import type { NodeId } from './ids.ts';
import type { LivenessRecord } from './lease.ts';
import { illegalChange } from './ownership.ts';
import { inSyncReplicas, replicaById } from './shard.ts';
import { membershipViolations } from './membership-invariants.ts';
import type { Replica, ShardDescriptor } from './shard.ts';
import { isUncleanElection, uncleanViolations } from './unclean-invariants.ts';

/**
 * Invariants of the metadata as pure checks (docs/invariants.md numbers them; PROTOCOL.md holds the rules): over one state,
 * and over one committed change of a descriptor or of a Liveness item. The simulation runs them after every commit.
 * What only data nodes and clients can witness (I-4 in time, I-5, I-6) is checked in test/simulation from their events.
 */
export type InvariantNumber = 'I-1' | 'I-2' | 'I-3' | 'I-4' | 'I-5' | 'I-6' | 'I-7' | 'I-8' | 'I-9' | 'I-10' | 'I-16';

export interface Violation {
  readonly invariant: InvariantNumber;
  /** Protocol rule that was broken, where there is one. */
  readonly rule: string | null;
  /** Shard, node or table that it was found at. */
  readonly subject: string;
  readonly message: string;
}

export type Report = (invariant: InvariantNumber, rule: string | null, message: string) => void;

export function collect(subject: string, check: (report: Report) => void): readonly Violation[] {
  const found: Violation[] = [];
  check((invariant, rule, message) => found.push({ invariant, rule, subject, message }));
  return found;
}

/** I-1: `shards` of one table, sorted by start, cover the key space without gap or overlap. */
export function checkTiling(table: string, shards: readonly ShardDescriptor[]): readonly Violation[] {
  return collect(table, (report) => {
    const first = shards[0];
    if (first === undefined) {
      report('I-1', null, 'the table has no shard');
      return;
    }
    if (first.startKey !== KEY_SPACE_START) report('I-1', null, `nothing holds keys below '${first.startKey}'`);
    const ids = new Set<string>();
    for (const [index, shard] of shards.entries()) {
      if (ids.has(shard.shardId)) report('I-2', null, `shard id ${shard.shardId} is used twice`);
      ids.add(shard.shardId);
      if (shard.endKey !== null && compareKeys(shard.startKey, shard.endKey) >= 0)
        report('I-1', null, `${shard.shardId} ends at or before its start`);
      const next = shards[index + 1];
      if (next === undefined) {
        if (shard.endKey !== null) report('I-1', null, `nothing holds keys from '${shard.endKey}'`);
      } else if (shard.endKey !== next.startKey)
        report(
          'I-1',
          null,
          `${shard.shardId} ends at '${shard.endKey ?? '∞'}', ${next.shardId} starts at '${next.startKey}'`,
        );
    }
  });
}

/** What holds of every stored descriptor by itself (I-7, R1). */
export function checkDescriptor(shard: ShardDescriptor): readonly Violation[] {
  return collect(shard.shardId, (report) => {
    const nodes = new Set(shard.replicas.map((replica) => replica.nodeId));
    if (nodes.size !== shard.replicas.length) report('I-7', null, 'two replicas on one node');
    const ids = new Set(shard.replicas.map((replica) => replica.replicaId));
    if (ids.size !== shard.replicas.length) report('I-7', 'R4', 'two replicas with one replica_id');
    const inSync = inSyncReplicas(shard);
    if (inSync.length < shard.minInSync)
      report('I-7', 'R1', `${inSync.length} replicas IN_SYNC, min_in_sync is ${shard.minInSync}`);
    const leader = replicaById(shard, shard.leader.replicaId);
    if (leader === undefined) report('I-6', 'E1', 'the leader is no listed replica');
    else {
      if (leader.syncStatus !== 'IN_SYNC') report('I-6', 'E1', `the leader's replica is ${leader.syncStatus}`);
      if (leader.nodeId !== shard.leader.nodeId) report('I-6', 'E1', "the leader's node is not its replica's node");
      if (leader.nodeEpoch < shard.leader.nodeEpoch)
        report('I-6', 'E1', "leader_node_epoch is above its IN_SYNC entry's node epoch");
    }
    if (shard.intent !== null) {
      if (replicaById(shard, shard.intent.targetReplicaId) === undefined)
        report('I-7', 'E2', 'the transfer intent names an unlisted replica');
      if (shard.intent.sinceGeneration > shard.generation)
        report('I-2', 'E2', 'the transfer intent is newer than its descriptor');
    }
  });
}

/** What else was true when a descriptor's change committed. */
export interface TransitionContext {
  /** Liveness item of a node at the commit; null if it never registered. */
  readonly liveness: (nodeId: NodeId) => LivenessRecord | null;
  /** Highest step-down receipt that the replica gave for the shard before the commit; null if none; undefined if unknown to the checker. */
  readonly receipt?: (shardId: string, replicaId: string) => { epoch: number; generation: number } | null;
  /** The replication factor of the shard's table; undefined if unknown to the checker. */
  readonly replicationFactor?: (shard: ShardDescriptor) => number | undefined;
  /** True if the replica id was listed in any earlier descriptor of any shard (R4). */
  readonly replicaIdUsed?: (replicaId: string) => boolean;
}

/** I-2, I-3, I-6, I-7 over one committed change of a descriptor: is it a row of the protocol's table of transitions? */
export function checkTransition(
  before: ShardDescriptor,
  after: ShardDescriptor,
  context: TransitionContext,
): readonly Violation[] {
  return [
    ...checkDescriptor(after),
    ...collect(after.shardId, (report) => {
      checkIdentity(before, after, report);
      if (isUncleanElection(before, after)) {
        for (const { invariant, rule, message } of uncleanViolations(before, after, context))
          report(invariant, rule, message);
        return;
      }
      if (after.epoch < before.epoch) report('I-3', null, `epoch fell from ${before.epoch} to ${after.epoch}`);
      else if (after.epoch > before.epoch + 1)
        report('I-3', 'E1', `epoch jumped from ${before.epoch} to ${after.epoch}`);
      else if (after.epoch === before.epoch) {
        if (leadership(before) !== leadership(after))
          report(
            'I-3',
            'E1',
            `the leader changed from ${leadership(before)} to ${leadership(after)} within epoch ${after.epoch}`,
          );
        checkMembershipUnderLeader(before, after, context, report);
      } else checkLeaderChange(before, after, context, report);
      checkReplicas(before, after, context, report);
    }),
  ];
}

const leadership = ({ leader }: ShardDescriptor): string => `${leader.replicaId}@${leader.nodeId}/${leader.nodeEpoch}`;

function checkIdentity(before: ShardDescriptor, after: ShardDescriptor, report: Report): void {
  if (after.generation !== before.generation + 1)
    report('I-2', null, `generation went from ${before.generation} to ${after.generation}`);
  if (after.shardId !== before.shardId || after.tableId !== before.tableId || after.table !== before.table)
    report('I-2', null, 'a change gave the shard another identity');
  // Bounds change by split and merge only, which are transitions of their own.
  if (after.startKey !== before.startKey || after.endKey !== before.endKey) report('I-1', null, 'bounds changed');
  const change = illegalChange(before.state, after.state);
  if (change !== null) report('I-9', null, change);
  if (after.dataLoss && !before.dataLoss && !isUncleanElection(before, after))
    report('I-6', 'E4', 'data_loss was raised without an UNCLEAN election');
  if (after.intent !== null && before.intent === null) {
    if (after.intent.sinceGeneration !== after.generation)
      report('I-2', 'E2', 'a new intent does not carry its own generation');
    if (replicaById(after, after.intent.targetReplicaId)?.syncStatus !== 'IN_SYNC')
      report('I-6', 'E2', 'the target of a new transfer is not IN_SYNC');
  }
}

/** Election, election of the void, or transfer: the only changes that raise the epoch. */
function checkLeaderChange(
  before: ShardDescriptor,
  after: ShardDescriptor,
  context: TransitionContext,
  report: Report,
): void {
  const chosen = replicaById(before, after.leader.replicaId);
  if (chosen === undefined) {
    report('I-6', 'E1', `the new leader ${leadership(after)} was not listed`);
    return;
  }
  if (chosen.syncStatus !== 'IN_SYNC') report('I-6', 'E1', `the new leader was ${chosen.syncStatus}`);

  const oldLeaderFenced = isVoid(before.leader, context);
  if (!oldLeaderFenced) checkTransfer(before, after, context, report);

  const entriesAreVoid = inSyncReplicas(before).every((replica) => isVoid(replica, context));
  if (after.leader.nodeEpoch !== chosen.nodeEpoch) {
    if (!oldLeaderFenced || !entriesAreVoid)
      report(
        'I-6',
        'E1',
        `leader_node_epoch ${after.leader.nodeEpoch} was not copied from the entry (${chosen.nodeEpoch})`,
      );
    else if (after.leader.nodeEpoch < chosen.nodeEpoch) report('I-6', 'E4', 'leader_node_epoch fell');
    const entry = replicaById(after, chosen.replicaId);
    if (entry?.storeUuid !== chosen.storeUuid) report('I-6', 'E4', 'elected from another data directory');
  }
  for (const entry of inSyncReplicas(before)) {
    const now = replicaById(after, entry.replicaId);
    // Only the leader proposes an IN_SYNC entry's node epoch (R2); the exception is the election of the void (E4).
    if (now?.syncStatus === 'IN_SYNC' && now.nodeEpoch !== entry.nodeEpoch && !entriesAreVoid)
      report('I-6', 'R2', `the election gave ${entry.replicaId} node epoch ${now.nodeEpoch}`);
  }
  const voided = new Set(
    inSyncReplicas(before)
      .filter((replica) => isVoid(replica, context))
      .map((replica) => replica.replicaId),
  );
  for (const left of leavers(before, after))
    if (!voided.has(left.replicaId))
      report('I-6', 'R1', `the leader change took ${left.replicaId} out of IN_SYNC, whose node is not fenced`);
  for (const joined of joiners(before, after))
    report('I-6', 'R2', `the leader change made ${joined.replicaId} IN_SYNC`);
}

/** E2: without a fence the leader changes on its receipt only. */
function checkTransfer(
  before: ShardDescriptor,
  after: ShardDescriptor,
  context: TransitionContext,
  report: Report,
): void {
  if (before.intent === null) {
    report('I-4', 'E1', `${leadership(before)} lost its leadership without a fence and without an intent to transfer`);
    return;
  }
  if (after.intent !== null) report('I-2', 'E2', 'the transfer committed and left its intent');
  const receipt = context.receipt?.(before.shardId, before.leader.replicaId);
  if (receipt === undefined) return;
  if (receipt === null) report('I-4', 'E2', 'transferred without a step-down receipt');
  else if (receipt.epoch !== before.epoch || receipt.generation < before.intent.sinceGeneration)
    report('I-4', 'E2', `the receipt is for epoch ${receipt.epoch}, generation ${receipt.generation}`);
}

/** Changes under one leader: growth, shrinkage, added and removed replicas. */
function checkMembershipUnderLeader(
  before: ShardDescriptor,
  after: ShardDescriptor,
  context: TransitionContext,
  report: Report,
): void {
  for (const left of leavers(before, after)) {
    const now = replicaById(after, left.replicaId);
    if (left.replicaId === before.leader.replicaId) report('I-6', 'R3', 'the leader itself left IN_SYNC');
    if (now?.syncStatus === 'OFFLINE' && !isVoid(left, context))
      report('I-7', 'R3', `${left.replicaId} went OFFLINE although its node is not fenced`);
  }
  for (const joined of joiners(before, after))
    if (replicaById(before, joined.replicaId) === undefined)
      report('I-6', 'R2', `${joined.replicaId} was added as IN_SYNC`);
}

/** What holds of the list of replicas under every transition (I-7, R2, R4). */
function checkReplicas(
  before: ShardDescriptor,
  after: ShardDescriptor,
  context: TransitionContext,
  report: Report,
): void {
  const added = after.replicas.filter((replica) => replicaById(before, replica.replicaId) === undefined);
  const removed = before.replicas.filter((replica) => replicaById(after, replica.replicaId) === undefined);
  if (added.length > 1 || removed.length > 1)
    report('I-7', null, `${added.length} replicas added and ${removed.length} removed in one change`);
  for (const replica of added)
    if (context.replicaIdUsed?.(replica.replicaId) === true)
      report('I-7', 'R4', `replica_id ${replica.replicaId} was used before`);
  for (const replica of removed)
    if (replica.replicaId === before.leader.replicaId) report('I-7', 'S3', 'the leader was removed');
  const isCurrent = (replica: Replica): boolean =>
    replica.syncStatus === 'IN_SYNC' && context.liveness(replica.nodeId)?.nodeEpoch === replica.nodeEpoch;
  const membership = { isCurrent, replicationFactor: context.replicationFactor?.(after) };
  for (const { invariant, rule, message } of membershipViolations(before, after, membership))
    report(invariant, rule, message);
  for (const replica of after.replicas) {
    const was = replicaById(before, replica.replicaId);
    if (was === undefined) continue;
    if (was.nodeId !== replica.nodeId) report('I-7', 'R4', `${replica.replicaId} moved to another node`);
    // A wiped directory gets a new copy under a new session (R2); a listed copy itself never changes its directory.
    const newSession = replica.syncStatus === 'IN_SYNC' && replica.nodeEpoch > was.nodeEpoch;
    if (was.storeUuid !== replica.storeUuid && !newSession)
      report('I-6', 'R2', `${replica.replicaId} changed its data directory within one session`);
    if (replica.nodeEpoch < was.nodeEpoch) report('I-6', 'R2', `the node epoch of ${replica.replicaId} fell`);
    const present = context.liveness(replica.nodeId)?.nodeEpoch ?? 0;
    if (replica.nodeEpoch > present)
      report('I-6', 'R2', `${replica.replicaId} carries node epoch ${replica.nodeEpoch}, its node has ${present}`);
  }
}

/** True if the node epoch of an entry or leadership lies below its node's present one (L1, E1). */
function isVoid(entry: { nodeId: NodeId; nodeEpoch: number }, context: TransitionContext): boolean {
  const liveness = context.liveness(entry.nodeId);
  return liveness !== null && liveness.nodeEpoch > entry.nodeEpoch;
}

/** IN_SYNC before, not IN_SYNC (or not listed) after. */
const leavers = (before: ShardDescriptor, after: ShardDescriptor): readonly Replica[] =>
  inSyncReplicas(before).filter((replica) => replicaById(after, replica.replicaId)?.syncStatus !== 'IN_SYNC');

const joiners = (before: ShardDescriptor, after: ShardDescriptor): readonly Replica[] =>
  inSyncReplicas(after).filter((replica) => replicaById(before, replica.replicaId)?.syncStatus !== 'IN_SYNC');

/** I-4, I-8 over one change of a Liveness item (L1, L4): `before` null is the node's first registration. */
export function checkLivenessTransition(before: LivenessRecord | null, after: LivenessRecord): readonly Violation[] {
  return collect(after.nodeId, (report) => {
    if (before === null) {
      if (after.incarnation === null) report('I-8', 'L4', 'a node appeared without an incarnation');
      return;
    }
    if (after.nodeEpoch < before.nodeEpoch) {
      report('I-4', 'L1', `node epoch fell from ${before.nodeEpoch} to ${after.nodeEpoch}`);
      return;
    }
    if (after.nodeEpoch > before.nodeEpoch) {
      checkFence(before, after, report);
      return;
    }
    if (after.incarnation !== before.incarnation)
      report('I-8', 'L1', `the incarnation changed within node epoch ${after.nodeEpoch}`);
    if (after.sequence < before.sequence)
      report('I-4', 'L1', `the lease sequence fell from ${before.sequence} to ${after.sequence}`);
    if (after.sequence > before.sequence) {
      if (before.incarnation === null) report('I-4', 'L1', 'a fenced node renewed');
      if (before.released) report('I-8', 'L4', 'a released incarnation renewed');
    }
    if (before.released && !after.released) report('I-8', 'L4', 'a release was taken back');
    if (after.storeUuid !== before.storeUuid) report('I-8', 'L4', 'the data directory changed without a registration');
    if (after.attestation < before.attestation) report('I-8', 'L4', 'the attestation fell');
  });
}

/** A fence by the detector (nobody holds the new node epoch) or by a registration. */
function checkFence(before: LivenessRecord, after: LivenessRecord, report: Report): void {
  if (after.nodeEpoch !== before.nodeEpoch + 1)
    report('I-4', 'L1', `node epoch jumped from ${before.nodeEpoch} to ${after.nodeEpoch}`);
  if (after.sequence !== 0) report('I-4', 'L1', 'a new node epoch starts at a sequence above 0');
  // E3: whatever stood under the older node epoch must be swept.
  if (after.openFence === null) report('I-4', 'E3', 'the node epoch was raised without opening a fence');
  if (after.incarnation === null) return;
  if (after.incarnation === before.incarnation)
    report('I-8', 'L4', 'an incarnation registered twice: every process start takes a new one');
  const observedExpired =
    before.expired !== null &&
    before.expired.nodeEpoch === before.nodeEpoch &&
    before.expired.sequence === before.sequence;
  const neverHeldSinceFence = before.incarnation === null;
  if (!observedExpired && !before.released && !neverHeldSinceFence)
    report('I-4', 'L4', 'registered over a lease that was neither observed expired, nor released, nor fenced');
}
