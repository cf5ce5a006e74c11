import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import { openEngine } from '../engine/engine.ts';
import type { LogEntry } from '../engine/types.ts';
import { takeUpEpoch } from './leader-log.ts';

/** Forks made in the rehearsal: after so many the code is compiled. Some 20 ms, before the node listens. */
const ROUNDS = 40;
const ENTRIES = 8;
const BORDER = 'm';

/**
 * Forks copies in an engine of its own, in memory, so that the first fork of the process does not compile its code while a shard is
 * locked: that took 2 to 5 ms, where a fork takes 0.3 ms (S1, DESIGN section 10).
 */
export function rehearseForks(): void {
  const engine = openEngine({ memory: true });
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const whole = descriptorOf(`rehearsed-${round}`, 1, '', null);
      const { shard_id: shardId } = whole;
      engine.transaction((tx) => {
        tx.createReplica({
          shardId,
          replicaId: `replica-${shardId}`,
          storeUuid: 'store',
          descriptor: whole,
          maxEpoch: 1,
        });
        tx.append(shardId, Array.from({ length: ENTRIES }, entryOf), ENTRIES / 2);
      });
      engine.beginCount(shardId, BORDER);
      while (engine.continueCount(shardId, ENTRIES) === 'MORE');
      const parent = descriptorOf(shardId, 1, '', BORDER);
      const child = descriptorOf(`${shardId}-right`, 2, BORDER, null);
      const childReplicaId = `replica-${child.shard_id}`;
      engine.transaction((tx) => {
        tx.fork(shardId, { parent, child, childReplicaId, commitSeq: ENTRIES / 2 });
        takeUpEpoch(tx, childReplicaId, child, 1);
      });
    }
  } finally {
    engine.close();
  }
}

const entryOf = (_: unknown, index: number): LogEntry => ({
  epoch: 1,
  seq: index + 1,
  writeId: `write-${index}`,
  fingerprint: 'fingerprint',
  changes: [{ key: index % 2 === 0 ? `a${index}` : `x${index}`, value: '1' }],
  at: { wallMs: 1, counter: index },
});

function descriptorOf(shardId: string, epoch: number, startKey: string, endKey: string | null): WireDescriptor {
  const replicaId = `replica-${shardId}`;
  return {
    shard_id: shardId,
    table_id: 'table',
    table: 'rehearsal',
    key_type: 'string',
    start_key: startKey,
    end_key: endKey,
    epoch,
    generation: 1,
    leader: { node_id: 'node', replica_id: replicaId, node_epoch: 1 },
    min_in_sync: 1,
    replicas: [
      {
        replica_id: replicaId,
        node_id: 'node',
        node_epoch: 1,
        store_uuid: 'store',
        sync_status: 'IN_SYNC',
        address: null,
      },
    ],
    intent: null,
    state: { kind: 'ACTIVE' },
    data_loss: false,
    created_at_ms: 0,
    leader_since_ms: 0,
  };
}
