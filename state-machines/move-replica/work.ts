import {
  encodedKey,
  epoch,
  generation,
  nodeEpoch,
  nodeId,
  operationId,
  replicaId,
  shardId,
  tableId,
  tableName,
} from '../../shared/domain/ids.ts';
import type { NodeId, ReplicaId } from '../../shared/domain/ids.ts';
import type { Json } from '../../shared/domain/records.ts';
import { ownerOf } from '../../shared/domain/shard.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { CommandDraft, Deps, Stored } from '../../shared/ports.ts';
import { membershipInput } from '../../shared/usecases/move-replica.ts';
import type { MembershipInput, PlacedReplica } from '../../shared/usecases/move-replica.ts';
import type { Owner } from '../../shared/usecases/membership.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { BEGIN } from '../../shared/domain/operation.ts';
import { fieldsOf, loadOperation, TERMINAL, textOf } from '../step.ts';
import type { StepInput } from '../step.ts';

/** What the steps of move-replica keep between them, and the shard as it is now. */

export const BY = SYSTEM('operation');

/** Phases in order; each is the tag of the step that works on it. */
export const PHASES = [
  'claim',
  'add-replicas',
  'create-replicas',
  'await-in-sync',
  'move-leader',
  'remove-replicas',
  'forget',
  'release',
] as const;
export type Phase = (typeof PHASES)[number];

export interface MoveState {
  readonly phase: Phase;
  /** Wall clock at which the phase, or the undoing, began: its bound counts from there. */
  readonly sinceMs: number;
  /** Replicas that this operation adds: their ids are drawn before the first of them is listed, so that a repeat adds none twice (R4). */
  readonly added: readonly PlacedReplica[];
  /** Wall clock since when a new replica's node has been unable to answer; null while all can. */
  readonly downSinceMs: number | null;
  /** The shard's `min_in_sync` when it was claimed: what a roll-back restores. */
  readonly minInSyncBefore: number | null;
  /** Wall clock at which the undoing began. */
  readonly undoSinceMs: number | null;
}

export interface Work {
  readonly operation: Stored<'operation'>;
  readonly input: MembershipInput;
  readonly state: MoveState;
  readonly owner: Owner;
  /** Null: the shard is gone. */
  readonly shard: ShardDescriptor | null;
}

export async function loadWork(deps: Deps, input: StepInput): Promise<Work | 'ENDED'> {
  const operation = await loadOperation(deps, input.operationId);
  if (TERMINAL.has(operation.value.status)) return 'ENDED';
  const asked = membershipInput(operation.value.input);
  return {
    operation,
    input: asked,
    state: stateOf(operation.value.state),
    owner: { shardId: asked.shardId, operationId: input.operationId },
    shard: (await deps.directory.locate(asked.shardId))?.shard ?? null,
  };
}

/** True if the operation owns the shard: whatever it does to another one's is void (I-9). */
export const owns = (work: Work): boolean =>
  work.shard?.state.kind === 'CHANGING_REPLICAS' && ownerOf(work.shard) === work.owner.operationId;

/** Replicas that are to leave and are still listed. */
export const leaving = (work: Work): readonly PlacedReplica[] =>
  work.input.remove.filter((one) => work.shard?.replicas.some((replica) => replica.replicaId === one.replicaId));

export function stateOf(json: Json): MoveState {
  const fields = fieldsOf(json);
  const phase = PHASES.find((known) => known === fields['phase']) ?? 'claim';
  const added = Array.isArray(fields['added']) ? (fields['added'] as readonly Json[]) : [];
  return {
    phase,
    sinceMs: Number(fields['since_ms'] ?? 0),
    added: added.map(placedOf),
    downSinceMs: numberOrNull(fields['down_since_ms']),
    minInSyncBefore: numberOrNull(fields['min_in_sync_before']),
    undoSinceMs: numberOrNull(fields['undo_since_ms']),
  };
}

export const stateJson = (state: MoveState): Json => ({
  phase: state.phase,
  since_ms: state.sinceMs,
  added: state.added.map(placedJson),
  down_since_ms: state.downSinceMs,
  min_in_sync_before: state.minInSyncBefore,
  undo_since_ms: state.undoSinceMs,
});

const numberOrNull = (json: Json | undefined): number | null => (typeof json === 'number' ? json : null);

const placedOf = (json: Json): PlacedReplica => {
  const fields = fieldsOf(json);
  return { nodeId: nodeId(textOf(fields, 'node_id')), replicaId: replicaId(textOf(fields, 'replica_id')) };
};
const placedJson = (one: PlacedReplica): Json => ({ node_id: one.nodeId, replica_id: one.replicaId });

/** Milliseconds since `sinceMs` that count for a bound: time in which the operation was paused does not. */
export function elapsedMs(work: Work, sinceMs: number, nowMs: number): number {
  const { steps } = work.operation.value;
  const paused = steps.map((step) => step.name).lastIndexOf('pause');
  const resumed = paused < 0 ? undefined : steps.slice(paused).find((step) => step.name === BEGIN);
  return nowMs - Math.max(sinceMs, resumed?.atMs ?? 0);
}

export const draftFor = (
  type: CommandDraft['type'],
  shard: ShardDescriptor,
  one: { readonly nodeId: NodeId; readonly replicaId: ReplicaId },
): CommandDraft => ({ type, nodeId: one.nodeId, replicaId: one.replicaId, shard });

/**
 * A shard that is gone, as the address of commands that remove what is left of it: above every epoch and generation that it ever had, so
 * that a node takes no older descriptor for news. A replica id is never reused (R4), so that nothing else can be meant.
 */
export function goneShard(work: Work): ShardDescriptor {
  const nobody = { replicaId: replicaId('none'), nodeId: nodeId('none'), nodeEpoch: nodeEpoch(0) };
  return {
    shardId: shardId(work.input.shardId),
    tableId: tableId('none'),
    table: tableName('none'),
    keyType: 'string',
    startKey: encodedKey(''),
    endKey: null,
    epoch: epoch(Number.MAX_SAFE_INTEGER),
    generation: generation(Number.MAX_SAFE_INTEGER),
    leader: nobody,
    minInSync: 1,
    replicas: [],
    intent: null,
    state: { kind: 'DELETING', operationId: operationId(work.owner.operationId) },
    dataLoss: false,
    createdAtMs: 0,
    leaderSinceMs: 0,
    boundsSinceMs: 0,
  };
}
