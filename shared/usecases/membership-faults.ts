import { conflict } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import type { NodeId } from '../domain/ids.ts';
import type { PlanRefusal, TargetRefusal, UnhealthyReason } from '../domain/membership.ts';
import { assertNever } from '../domain/result.ts';
import type { ShardDescriptor } from '../domain/shard.ts';

/** What a refused change of a shard's membership tells its caller: why, and what to do. */

const UNHEALTHY: Readonly<Record<UnhealthyReason, string>> = {
  NEVER_REGISTERED: 'it never registered',
  FENCED: 'it is fenced: its lease ended and it has not registered again',
  RELEASED: 'it is stopping',
  EXPIRED: 'its lease has expired',
};

/** `node`: the target that was refused; null where none was. */
export function membershipFault(
  refusal: PlanRefusal | TargetRefusal,
  shard: ShardDescriptor,
  node: NodeId | null,
): Fault {
  const at = `Node ${node ?? ''}`;
  switch (refusal.code) {
    case 'ALREADY_ON_NODE':
      return conflict(
        'ALREADY_ON_NODE',
        `${at} holds a replica of shard ${shard.shardId} already. Choose another node.`,
        {
          detail: { replica_id: refusal.replicaId },
        },
      );
    case 'NODE_DECOMMISSIONED':
      return conflict('NODE_DECOMMISSIONED', `${at} is leaving the cluster. Choose another node.`);
    case 'NODE_CORDONED':
      return conflict('NODE_CORDONED', `${at} is cordoned: it takes no new replicas. Uncordon it, or choose another.`);
    case 'NODE_UNHEALTHY':
      return conflict('NODE_UNHEALTHY', `${at} can't take a replica: ${UNHEALTHY[refusal.reason]}.`, {
        detail: { reason: refusal.reason },
        retryAfterSeconds: 10,
      });
    case 'NODE_FULL':
      return conflict(
        'NODE_FULL',
        `${at} has ${refusal.freeBytes} bytes left for replicas, shard ${shard.shardId} needs ${refusal.neededBytes}. Choose another node.`,
        { detail: { free_bytes: refusal.freeBytes, needed_bytes: refusal.neededBytes } },
      );
    case 'PLACEMENT_RULE':
      return conflict(
        'PLACEMENT_RULE',
        `${at} may not hold replicas of table ${shard.table}: ${refusal.rule}. Choose a node that it allows, or change the rule (PUT /config/placement) or the node's labels (PUT /cluster/nodes/{node_id}/placement).`,
        { detail: { rule: refusal.rule } },
      );
    case 'ZONE_HELD':
      return conflict(
        'ZONE_HELD',
        `${at} is in zone ${refusal.zone}, where another replica of shard ${shard.shardId} stays. Choose a node in ${refusal.betterZones.join(', ')}, or move that replica.`,
        { detail: { zone: refusal.zone, better_zones: refusal.betterZones } },
      );
    case 'REPLICA_UNKNOWN':
      return conflict('REPLICA_UNKNOWN', `Shard ${shard.shardId} has no replica ${refusal.replicaId}.`);
    case 'NOTHING_TO_DO':
      return conflict('NOTHING_TO_DO', `Shard ${shard.shardId} is as asked already.`);
    case 'TOO_FEW_REPLICAS':
      return conflict(
        'TOO_FEW_REPLICAS',
        `Shard ${shard.shardId} would be left with ${refusal.left} replicas; its replication factor is ${refusal.replicationFactor}. Add one for each that leaves.`,
        { detail: { left: refusal.left, replication_factor: refusal.replicationFactor } },
      );
    default:
      return assertNever(refusal);
  }
}
