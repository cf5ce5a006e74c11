import { KEY_SPACE_START } from '../../shared/domain/keys.ts';
import { nodeId, tableName } from '../../shared/domain/ids.ts';
import type { OperationRecord, OperationType, TableRecord } from '../../shared/domain/records.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { setRebalanceConfig } from '../../shared/usecases/rebalance-config.ts';
import { setStructureConfig } from '../../shared/usecases/structure-config.ts';
import { createTable } from '../../shared/usecases/tables.ts';
import type { Scenario } from '../support/crash-points.ts';
import type { MortalWorld } from '../support/mortal-world.ts';

/** What scenarios under faults are made of. */

export interface Judged extends Scenario {
  /** What is wrong with what came of it; empty if nothing is. */
  readonly outcome: (world: MortalWorld) => Promise<string[]>;
}

/** A scenario that brings one operation about. */
export interface Saga extends Judged {
  /** Asks for the operation; returns when it was accepted, or when a repeated request met its own effect. */
  readonly request: (world: MortalWorld) => Promise<void>;
  /** What nodes do by themselves while it runs; called again and again. */
  readonly tend?: (world: MortalWorld) => Promise<void>;
  /** False: an operation may have ended before what was wanted, and the next tick starts another one. True when missing. */
  readonly reached?: (world: MortalWorld) => Promise<boolean>;
  /**
   * What a rolled-back operation leaves, where it is not all as it was before (I-10): docs/operations.md says so of operations over many shards.
   * Answers what is wrong.
   */
  readonly undone?: (world: MortalWorld, before: Before) => Promise<string[]>;
}

/** How the world was before the request. */
export interface Before {
  readonly shards: readonly ShardDescriptor[];
  readonly table: TableRecord | null;
}

export const TABLE = 'rows';

/** A saga from its parts: it has run when no operation is open any more. */
export const saga = (parts: Omit<Saga, 'run'>): Saga => ({
  ...parts,
  run: async (world) => {
    await parts.request(world);
    await world.until(async () => {
      await parts.tend?.(world);
      return (await openOperations(world)) === 0;
    });
  },
});

/** Operations that have not ended. */
export async function openOperations(world: MortalWorld): Promise<number> {
  const page = await world.base.records.query('openOperation', { partition: {}, order: 'forward', limit: 100 });
  return page.items.length;
}

/** Nobody starts anything but the scenario: the ticks neither balance nor split nor merge. */
export const ticksOff = async (world: MortalWorld): Promise<void> => {
  await world.base.call('setRebalanceConfig', setRebalanceConfig, { body: { tick: 'off', repair_after_seconds: 10 } });
  await world.base.call('setStructureConfig', setStructureConfig, { body: { split: 'off', merge: 'off' } });
};

interface NewTable {
  readonly pre_split?: string[];
  readonly replication_factor?: number;
}

/** Asks for the table of the scenarios. Left out: one shard, and as many copies as the cluster's factor says (3). */
export async function askForTable(world: MortalWorld, body: NewTable = {}): Promise<void> {
  const input = { params: {}, query: {}, body: { table: TABLE, ...body } };
  expectAnswer(await world.request('createTable', 'key-create', input, createTable), 'TABLE_EXISTS');
}

/** The same, active. */
export async function createdTable(world: MortalWorld, body: NewTable = {}): Promise<void> {
  await askForTable(world, body);
  await world.until(async () => (await tableOf(world))?.state === 'ACTIVE');
}

export const expectThat = (holds: boolean, otherwise: string): string[] => (holds ? [] : [otherwise]);

/** An answer of success, or the refusal by which a repeated request meets its own effect (shared/runtime/idempotency.ts). */
export function expectAnswer(answer: { status: number; body: unknown }, ...refusals: string[]): void {
  const { code } = answer.body as { code?: string };
  if (answer.status !== 200 && !refusals.includes(code ?? '')) throw new Error(JSON.stringify(answer.body));
}

/** Every operation of a type, oldest first. */
export async function operationsOfType(world: MortalWorld, type: string): Promise<OperationRecord[]> {
  const page = await world.base.records.query('operation', { partition: {}, order: 'forward', limit: 100 });
  return page.items.map(({ value }): OperationRecord => value).filter((operation) => operation.type === type);
}

export async function expectApplied(world: MortalWorld, type: OperationType, count: number): Promise<string[]> {
  const found = await operationsOfType(world, type);
  return [
    ...expectThat(found.length === count, `I-11: ${found.length} operations ${type}`),
    ...found
      .filter(({ status, outcome }) => status !== 'SUCCEEDED' || outcome !== 'APPLIED')
      .map(({ status, error }) => `${type} ended ${status}: ${error?.message ?? ''}`),
  ];
}

export async function tableOf(world: MortalWorld): Promise<TableRecord | null> {
  return (await world.base.records.get('table', { table: tableName(TABLE) }))?.value ?? null;
}

export async function shardsOf(world: MortalWorld): Promise<ShardDescriptor[]> {
  const table = await tableOf(world);
  if (table === null) return [];
  const page = await world.base.newDirectory().scan(table.tableId, { fromKey: KEY_SPACE_START, limit: 100 });
  return page.shards.map(({ shard }) => shard);
}

export async function onlyShard(world: MortalWorld): Promise<ShardDescriptor> {
  const [shard] = await shardsOf(world);
  if (shard === undefined) throw new Error('no shard');
  return shard;
}

/** Nodes that hold a replica row. */
export async function replicaRows(world: MortalWorld): Promise<number> {
  const rows = await Promise.all(
    world.nodes.map((node) => world.base.directory.replicasOn(nodeId(`node-${node}`), { limit: 10 })),
  );
  return rows.reduce((sum, { replicas }) => sum + replicas.length, 0);
}
