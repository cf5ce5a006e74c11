import { checkTiling } from '../../shared/domain/invariants.ts';
import { encodedKey, tableName } from '../../shared/domain/ids.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import {
  cancelOperation,
  pauseOperation,
  redriveOperation,
  resumeOperation,
} from '../../shared/usecases/operations.ts';
import { createTable, deleteTable } from '../../shared/usecases/tables.ts';
import type { Operations } from './virtual-operations.ts';

/** The two simplest operations, a table's creation and its deletion, and what is asked of them on their way. */

const TABLE = 'cities';
const SPLIT_KEYS = ['h', 'q'];
export const SHARDS = SPLIT_KEYS.length + 1;

export const create = async ({ world }: Operations): Promise<string> => {
  const answer = await world.call('createTable', createTable, { body: { table: TABLE, pre_split: SPLIT_KEYS } });
  if (!answer.ok) throw new Error(answer.error.message);
  return answer.value.operation_id;
};
export const remove = async ({ world }: Operations): Promise<string> => {
  const answer = await world.call('deleteTable', deleteTable, { params: { table: TABLE } });
  if (!answer.ok) throw new Error(answer.error.message);
  return answer.value.operation_id;
};
export const controls = { pauseOperation, resumeOperation, cancelOperation, redriveOperation } as const;
export const ask = ({ world }: Operations, name: keyof typeof controls, id: string) =>
  world.call(name, controls[name], { params: { operation_id: id } });
export const asked = async (operations: Operations, name: keyof typeof controls, id: string): Promise<void> => {
  const answer = await ask(operations, name, id);
  if (!answer.ok) throw new Error(`${name}: ${answer.error.code} ${answer.error.message}`);
};
export const table = async ({ world }: Operations) =>
  (await world.records.get('table', { table: tableName(TABLE) }))?.value ?? null;
export async function shardsOf(operations: Operations): Promise<readonly ShardDescriptor[]> {
  const found = await table(operations);
  if (found === null) return [];
  const page = await operations.world.directory.scan(found.tableId, { fromKey: encodedKey(''), limit: 1000 });
  return page.shards.map(({ shard }) => shard);
}
const open = async ({ world }: Operations): Promise<readonly string[]> =>
  (await world.records.query('openOperation', { partition: {}, order: 'forward', limit: 10 })).items.map(
    ({ value }) => value.operationId,
  );

export async function expectTable(operations: Operations): Promise<void> {
  expect(await table(operations)).toMatchObject({ state: 'ACTIVE' });
  const shards = await shardsOf(operations);
  expect(shards).toHaveLength(SHARDS);
  expect(checkTiling(TABLE, shards)).toEqual([]);
  expect(await open(operations)).toEqual([]);
}

/** No row of any shard or replica is left in the topology table. */
export async function expectNothing(operations: Operations): Promise<void> {
  expect(await table(operations)).toBeNull();
  for (const node of [1, 2, 3, 4, 5]) {
    const { replicas } = await operations.world.directory.replicasOn(`node-${node}` as never, { limit: 10 });
    expect(replicas).toEqual([]);
  }
  expect(await open(operations)).toEqual([]);
}

export const CREATE_STEPS = [
  'begin',
  'plan',
  'build-directory',
  'create-replicas',
  'start-leaders',
  'advance',
  'activate',
];
export const DELETE_STEPS = ['begin', 'remove-replicas', 'remove-shards', 'finish'];

/** Asks once, at the boundary before the first `step`. */
export const before = (operations: Operations, step: string, work: (id: string) => Promise<void>): void => {
  let done = false;
  operations.around(async (task, run) => {
    if (task.step === step && !done) {
      done = true;
      await work(task.operation_id);
    }
    return run();
  });
};
