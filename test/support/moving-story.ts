import { nodeId, operationId, tableName } from '../../shared/domain/ids.ts';
import type { OperationRecord, TableRecord } from '../../shared/domain/records.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { moveShard } from '../../shared/usecases/move-replica.ts';
import { reconcileOnce } from '../../shared/usecases/reconcile.ts';
import { createTable } from '../../shared/usecases/tables.ts';
import { replicatingNodes } from './replicating-nodes.ts';
import type { ReplicatingNodes } from './replicating-nodes.ts';
import { operationStory } from './virtual-operations.ts';
import type { Operations } from './virtual-operations.ts';
import { checkAuditNumbers, checkInvariants } from './world-checks.ts';

/** The membership change of one shard through its real state machine: five nodes in five zones, a table of one shard on three of them. */

const TABLE = 'rows';

export interface Story extends Operations {
  readonly nodes: ReplicatingNodes;
  /** The shard as it is. */
  readonly shard: () => Promise<ShardDescriptor>;
  /** Numbers of the nodes: leader, followers, and those without a replica. */
  readonly leader: number;
  readonly followers: readonly number[];
  readonly free: readonly number[];
  move(body: Partial<Parameters<typeof moveShard>[2]['body']> & { to: number; from?: number }): Promise<string>;
  /** Waits for the end of the operation, failovers and reconcile ticks included. */
  ended(id: string): Promise<OperationRecord>;
}

export const numberOf = (id: string): number => Number(id.slice('node-'.length));
const nodesOf = (shard: ShardDescriptor): number[] => shard.replicas.map((replica) => numberOf(replica.nodeId)).sort();
const PROPOSE_MS = 500;
const LOOK_MS = 500;
/** Looks between two reconcile ticks: some 10 s. */
const LOOKS_PER_TICK = 20;
const AT_REST: ReadonlySet<OperationRecord['status']> = new Set(['SUCCEEDED', 'FAILED', 'CANCELLED', 'PAUSED']);

export async function story(tell: (story: Story) => Promise<void>): Promise<void> {
  await operationStory(async (operations) => {
    const { world } = operations;
    const nodes = replicatingNodes(world);
    const answer = await world.call('createTable', createTable, { body: { table: TABLE, replication_factor: 3 } });
    if (!answer.ok) throw new Error(answer.error.message);
    await operations.idle(answer.value.operation_id);
    const table = async (): Promise<TableRecord> => {
      const stored = await world.records.get('table', { table: tableName(TABLE) });
      if (stored === null) throw new Error('no table');
      return stored.value;
    };
    const { tableId } = await table();
    const shard = async (): Promise<ShardDescriptor> => {
      const [first] = (await world.directory.scan(tableId, { fromKey: '' as never, limit: 1 })).shards;
      if (first === undefined) throw new Error('no shard');
      return first.shard;
    };
    const first = await shard();
    let over = false;
    const leaders = async (): Promise<void> => {
      while (!over) {
        await operations.wait(PROPOSE_MS);
        if (!over) await nodes.propose([first.shardId]);
      }
    };
    const loop = leaders();
    const taken = nodesOf(first);
    await tell({
      ...operations,
      nodes,
      shard,
      leader: numberOf(first.leader.nodeId),
      followers: taken.filter((node) => node !== numberOf(first.leader.nodeId)),
      free: [1, 2, 3, 4, 5].filter((node) => !taken.includes(node)),
      move: async ({ to, from, ...body }) => {
        const asked = await world.call('moveShard', moveShard, {
          params: { shard_id: first.shardId },
          body: {
            ...body,
            target_node_id: `node-${to}`,
            ...(from === undefined ? {} : { source_node_id: `node-${from}` }),
          },
        });
        if (!asked.ok) throw new Error(`${asked.error.code}: ${asked.error.message}`);
        if (asked.value.operation_id === null) throw new Error('nothing was started');
        return asked.value.operation_id;
      },
      ended: async (id) => {
        for (let looks = 1; ; looks++) {
          const stored = await world.records.get('operation', { operationId: operationId(id) });
          if (stored !== null && AT_REST.has(stored.value.status)) return operations.idle(id);
          await operations.wait(LOOK_MS);
          if (looks % LOOKS_PER_TICK === 0) await reconcileOnce(world.deps);
        }
      },
    });
    over = true;
    await loop;
    expect(checkInvariants(world.committed, nodes.receipts)).toEqual([]);
    expect(checkAuditNumbers(world.committed)).toEqual([]);
  });
}

/** Whoever serves is listed, in sync and alive; nobody owns the shard; every copy that a live node holds is listed. */
export async function expectAtRest(
  { shard, nodes, world }: Story,
  on: readonly number[],
  dead: readonly number[] = [],
): Promise<void> {
  const present = await shard();
  expect(nodesOf(present)).toEqual([...on].sort());
  expect(present.state).toEqual({ kind: 'ACTIVE' });
  expect(present.intent).toBeNull();
  for (const node of [1, 2, 3, 4, 5].filter((one) => !dead.includes(one))) {
    const listed = present.replicas.filter((replica) => numberOf(replica.nodeId) === node);
    expect(nodes.held(node)).toEqual(listed.map((replica) => replica.replicaId));
    const { replicas } = await world.directory.replicasOn(nodeId(`node-${node}`), { limit: 10 });
    expect(replicas.map((pointer) => pointer.replicaId)).toEqual(listed.map((replica) => replica.replicaId));
  }
  const owned = await world.records.query('ownedShard', { partition: {}, order: 'forward', limit: 10 });
  expect(owned.items).toEqual([]);
}
