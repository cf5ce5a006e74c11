import type { Fault } from '../../shared/domain/faults.ts';
import type { NodeId } from '../../shared/domain/ids.ts';
import type { AddRefusal, MinInSyncRefusal, RemoveRefusal } from '../../shared/domain/membership.ts';
import { Bug } from '../../shared/domain/result.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { NodeNotFound } from '../../shared/usecases/membership.ts';
import { membershipFault } from '../../shared/usecases/membership-faults.ts';
import type { StepError } from '../step.ts';

/** Refusals of the membership's changes, as an operation tells of them. */
export type Refusal = AddRefusal | RemoveRefusal | MinInSyncRefusal | NodeNotFound | Fault;

/** A shard that others keep changing is no reason to undo anything: the state machine runs the step again. */
export function throwIfContended(refusal: Refusal): void {
  if (refusal.code === 'CONFLICT') throw new Error('The shard keeps changing.');
}

/** `node`: the target that was refused, null where none was. */
export function refusalOf(refusal: Refusal, shard: ShardDescriptor | null, node: NodeId | null): StepError {
  if ('kind' in refusal) return { code: refusal.code, message: refusal.message };
  const { code } = refusal;
  switch (code) {
    case 'NOT_OWNER':
      return { code, message: 'The shard was taken from the operation.' };
    case 'NODE_NOT_FOUND':
      return { code, message: `No node is registered as ${node ?? 'this'}.` };
    case 'IS_LEADER':
      return { code, message: 'The leaving replica leads the shard.' };
    case 'TRANSFER_PENDING':
      return { code, message: 'The leadership is on its way to the leaving replica.' };
    case 'LEADER_VOID':
      return { code, message: "a new leader: the leader's node is fenced" };
    case 'REPLICA_FLOOR':
      return {
        code,
        message: `more replicas in sync: ${refusal.left} would be left, ${refusal.floor} must stay (I-7)`,
      };
    case 'NOT_ENOUGH_IN_SYNC':
      return { code, message: `more replicas in sync: ${refusal.inSync} are, min_in_sync is ${refusal.minInSync}` };
    default: {
      if (shard === null) throw new Bug(`refused ${code} without a shard`);
      const { message } = membershipFault(refusal, shard, node);
      return { code, message };
    }
  }
}
