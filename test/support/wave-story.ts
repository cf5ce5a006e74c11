import { nodeId, operationId, tableName } from '../../shared/domain/ids.ts';
import type { OperationPart, OperationRecord } from '../../shared/domain/records.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { reconcileOnce } from '../../shared/usecases/reconcile.ts';
import { setRebalanceConfig } from '../../shared/usecases/rebalance-config.ts';
import { createTable } from '../../shared/usecases/tables.ts';
import { registered } from './use-case-world.ts';
import { replicatingNodes } from './replicating-nodes.ts';
import type { ReplicatingNodes } from './replicating-nodes.ts';
import { operationStory } from './virtual-operations.ts';
import type { Operations } from './virtual-operations.ts';
import { checkAuditNumbers, checkInvariants } from './world-checks.ts';

/** Operations over many shards by their real machines: nodes in zones of their own, a table of some shards, under virtual time. */
export interface WaveStory extends Operations {
  readonly nodes: ReplicatingNodes;
  readonly shards: () => Promise<readonly ShardDescriptor[]>;
  /** Replicas on each node, by number. */
  readonly load: () => Promise<Readonly<Record<number, number>>>;
  readonly leaders: () => Promise<Readonly<Record<number, number>>>;
  join(...nodes: number[]): Promise<void>;
  /** Waits for the end of the operation, with reconcile ticks as the schedule has them. */
  ended(id: string): Promise<OperationRecord>;
  parts(id: string): Promise<readonly OperationPart[]>;
  /** The newest operation of a type. */
  newest(type: string): Promise<OperationRecord | null>;
  tick(): Promise<void>;
}

export const numberOf = (id: string): number => Number(id.slice('node-'.length));
const PROPOSE_MS = 500;
const LOOK_MS = 500;
const LOOKS_PER_TICK = 20;
const AT_REST: ReadonlySet<OperationRecord['status']> = new Set(['SUCCEEDED', 'FAILED', 'CANCELLED', 'PAUSED']);

export interface WaveStoryOptions {
  /** Shards of the table; its keys are letters. */
  readonly shards?: number;
  readonly replicationFactor?: number;
}

export async function waveStory(
  tell: (story: WaveStory) => Promise<void>,
  { shards: count = 6, replicationFactor = 3 }: WaveStoryOptions = {},
): Promise<void> {
  await operationStory(async (operations) => {
    const { world } = operations;
    const nodes = replicatingNodes(world);
    // The tick of the balance is told when to start, test by test.
    await world.call('setRebalanceConfig', setRebalanceConfig, { body: { tick: 'off' } });
    const pre_split = Array.from({ length: count - 1 }, (_, index) => String.fromCharCode('b'.charCodeAt(0) + index));
    const created = await world.call('createTable', createTable, {
      body: { table: 'rows', pre_split, ...(replicationFactor === 3 ? {} : { replication_factor: replicationFactor }) },
    });
    if (!created.ok) throw new Error(created.error.message);
    await operations.idle(created.value.operation_id);
    const table = await world.records.get('table', { table: tableName('rows') });
    if (table === null) throw new Error('no table');
    const shards = async (): Promise<readonly ShardDescriptor[]> => {
      const page = await world.directory.scan(table.value.tableId, { fromKey: '' as never, limit: 1000 });
      return page.shards.map(({ shard }) => shard);
    };
    let over = false;
    const leadersLoop = async (): Promise<void> => {
      while (!over) {
        await operations.wait(PROPOSE_MS);
        if (!over) await nodes.propose((await shards()).map(({ shardId }) => shardId));
      }
    };
    const loop = leadersLoop();
    const counted = async (of: (shard: ShardDescriptor) => readonly string[]): Promise<Record<number, number>> => {
      const counts: Record<number, number> = {};
      for (const shard of await shards())
        for (const node of of(shard)) counts[numberOf(node)] = (counts[numberOf(node)] ?? 0) + 1;
      return counts;
    };
    await tell({
      ...operations,
      nodes,
      shards,
      load: () => counted((shard) => shard.replicas.map(({ nodeId: node }) => node)),
      leaders: () => counted((shard) => [shard.leader.nodeId]),
      join: (...numbers) => registered(world, ...numbers),
      tick: () => reconcileOnce(world.deps),
      ended: async (id) => {
        for (let looks = 1; ; looks++) {
          const stored = await world.records.get('operation', { operationId: operationId(id) });
          if (stored !== null && AT_REST.has(stored.value.status)) return operations.idle(id);
          await operations.wait(LOOK_MS);
          if (looks % LOOKS_PER_TICK === 0) await reconcileOnce(world.deps);
        }
      },
      parts: async (id) => {
        const page = await world.records.query('operationPart', {
          partition: { operationId: operationId(id) },
          order: 'forward',
          limit: 1000,
        });
        return page.items.map(({ value }) => value);
      },
      newest: async (type) => {
        const page = await world.records.query('operation', { partition: {}, order: 'backward', limit: 1000 });
        return page.items.find(({ value }) => value.type === type)?.value ?? null;
      },
    });
    over = true;
    await loop;
    expect(checkInvariants(world.committed, nodes.receipts)).toEqual([]);
    expect(checkAuditNumbers(world.committed)).toEqual([]);
  });
}

/** Every shard served by live nodes alone, in sync, owned by nobody; live nodes hold listed copies only (I-7, I-9, I-10). */
export async function expectSettled({ shards, nodes, world }: WaveStory, dead: readonly number[] = []): Promise<void> {
  const listed = new Map<number, string[]>();
  for (const shard of await shards()) {
    expect(shard).toMatchObject({ state: { kind: 'ACTIVE' }, intent: null });
    for (const { nodeId: node, syncStatus } of shard.replicas)
      if (!dead.includes(numberOf(node)))
        expect([shard.shardId, node, syncStatus]).toEqual([shard.shardId, node, 'IN_SYNC']);
    for (const replica of shard.replicas) {
      const node = numberOf(replica.nodeId);
      listed.set(node, [...(listed.get(node) ?? []), replica.replicaId]);
    }
  }
  const all = await world.records.query('node', { partition: {}, order: 'forward', limit: 100 });
  for (const { value } of all.items) {
    const node = numberOf(value.nodeId);
    if (dead.includes(node)) continue;
    expect([...nodes.held(node)].sort()).toEqual((listed.get(node) ?? []).sort());
    const { replicas } = await world.directory.replicasOn(nodeId(value.nodeId), { limit: 1000 });
    expect(replicas.map(({ replicaId }) => replicaId).sort()).toEqual((listed.get(node) ?? []).sort());
  }
  const owned = await world.records.query('ownedShard', { partition: {}, order: 'forward', limit: 10 });
  expect(owned.items).toEqual([]);
}
