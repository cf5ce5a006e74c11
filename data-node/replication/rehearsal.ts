import type { CommandType, NodeCommand } from '../../shared/contracts/node/commands.ts';
import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import { ok } from '../../shared/domain/result.ts';
import { openEngine } from '../engine/engine.ts';
import type { LogEntry } from '../engine/types.ts';
import type { ControlPlane, Environment, LeaseView, PeerNetwork } from '../ports.ts';
import type { ReplicationObserver } from './context.ts';
import { createShardHost } from './shard-host.ts';

/** Forks made in the rehearsal, of a leader's copy and of a follower's in turn: after so many the code is compiled. Some 100 ms. */
const ROUNDS = 60;
const ENTRIES = 8;
const BORDER = 'm';
const HERE = { nodeId: 'here', nodeEpoch: 1, incarnation: 'rehearsal', storeUuid: 'store' };
const ELSEWHERE = 'elsewhere';

/** What was rehearsed. A node starts whatever it was: without it its first fork takes longer, and that is all. */
export interface Rehearsed {
  readonly forks: number;
  /** Of these: a leader's term went on in the right part. */
  readonly continued: number;
}

/**
 * Forks copies in a shard host of its own, in memory and without a network, before the node listens: else the first fork of the process
 * would compile its code while a shard is locked, which took 1 to 5 ms where a fork takes 0.3 (S1, DESIGN section 10).
 */
export async function rehearseForks({ clock, timers, random }: Environment): Promise<Rehearsed> {
  const engine = openEngine({ memory: true });
  const env: Environment = { clock, timers, random, log: { info: ignore, warn: ignore, error: ignore } };
  const rehearsed = { forks: 0, continued: 0 };
  const observer: ReplicationObserver = {
    onFork: ({ continued }) => {
      rehearsed.forks++;
      if (continued) rehearsed.continued++;
    },
  };
  const host = createShardHost({ env, engine, lease, controlPlane, peers: nobody, observer });
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const leads = round % 2 === 0;
      const leader = leads ? HERE.nodeId : ELSEWHERE;
      const whole = descriptorOf(`rehearsed-${round}`, { leader, epoch: 1, range: ['', null] });
      const { shard_id: shardId } = whole;
      await host.apply(commandOf('create_replica', whole));
      // Its no-op is stored in the next turn of the loop.
      if (leads) await new Promise<void>((resolve) => timers.after(0, resolve));
      const entries = Array.from({ length: ENTRIES }, entryOf);
      engine.transaction((tx) => tx.append(shardId, following(entries, tx.replica(shardId)?.last.seq ?? 0), 0));
      engine.beginCount(shardId, BORDER);
      while (engine.continueCount(shardId, ENTRIES) === 'MORE');
      const parent = { ...whole, generation: whole.generation + 1, end_key: BORDER };
      const child = descriptorOf(`${shardId}-right`, { leader, epoch: 2, range: [BORDER, null] });
      await host.apply({ ...commandOf('apply_split', parent), related: child });
    }
    return rehearsed;
  } finally {
    await host.close();
    engine.close();
  }
}

const ignore = (): void => undefined;
const lease: LeaseView = { registration: () => HERE, held: () => true };
const controlPlane: ControlPlane = {
  report: () => Promise.resolve(ok([])),
  getShard: () => Promise.resolve(ok(null)),
};
/** Peers that never answer: without timers, so that nothing of the rehearsal is left behind. */
const nobody: PeerNetwork = { call: () => new Promise(ignore) };

const entryOf = (_: unknown, index: number): LogEntry => ({
  epoch: 1,
  seq: index + 1,
  writeId: `write-${index}`,
  fingerprint: 'fingerprint',
  changes: [{ key: index % 2 === 0 ? `a${index}` : `x${index}`, value: '1' }],
  at: { wallMs: 1, counter: index },
});

/** The entries as they stand after `seq`, that of a leader's no-op. */
const following = (entries: readonly LogEntry[], seq: number): LogEntry[] =>
  entries.map((entry) => ({ ...entry, seq: entry.seq + seq }));

function commandOf(type: CommandType, descriptor: WireDescriptor): NodeCommand {
  const { shard_id: shardId, epoch, generation } = descriptor;
  return {
    command_id: `${type}-${shardId}`,
    type,
    node_id: HERE.nodeId,
    shard_id: shardId,
    replica_id: replicaOf(shardId, HERE.nodeId),
    epoch,
    generation,
    issued_at_ms: 0,
    descriptor,
    related: null,
  };
}

const replicaOf = (shardId: string, nodeId: string): string => `replica-${shardId}-${nodeId}`;

function descriptorOf(
  shardId: string,
  { leader, epoch, range }: { leader: string; epoch: number; range: readonly [string, string | null] },
): WireDescriptor {
  const copyOn = (nodeId: string): WireDescriptor['replicas'][number] => ({
    replica_id: replicaOf(shardId, nodeId),
    node_id: nodeId,
    node_epoch: HERE.nodeEpoch,
    store_uuid: HERE.storeUuid,
    // The leader serves without the other one.
    sync_status: nodeId === leader ? 'IN_SYNC' : 'LAGGING',
    address: { host: 'localhost', port: 1 },
  });
  return {
    shard_id: shardId,
    table_id: 'table',
    table: 'rehearsal',
    key_type: 'string',
    start_key: range[0],
    end_key: range[1],
    epoch,
    generation: 1,
    leader: { node_id: leader, replica_id: replicaOf(shardId, leader), node_epoch: HERE.nodeEpoch },
    min_in_sync: 1,
    replicas: [copyOn(HERE.nodeId), copyOn(ELSEWHERE)],
    intent: null,
    state: { kind: 'ACTIVE' },
    data_loss: false,
    created_at_ms: 0,
    leader_since_ms: 0,
  };
}
