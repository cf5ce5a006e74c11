import { nodeEpoch, tableName } from '../../shared/domain/ids.ts';
import { encodedKey } from '../../shared/domain/ids.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { setStructureConfig } from '../../shared/usecases/structure-config.ts';
import { changeStructure } from '../../shared/usecases/structure-tick.ts';
import { createTable } from '../../shared/usecases/tables.ts';
import { operationsOf } from '../support/operations.ts';
import { registered, useCaseWorld } from '../support/use-case-world.ts';
import type { UseCaseWorld } from '../support/use-case-world.ts';

const BY = { kind: 'system', name: 'reconciler' } as const;
const MB = 2 ** 20;

let world: UseCaseWorld;
let nowMs: number;
let started: { type: string; operationId: string }[];

beforeEach(async () => {
  nowMs = 1_800_000_000_000;
  world = useCaseWorld({ clock: { wallMs: () => nowMs, monotonicMs: () => nowMs } });
  const operations = operationsOf(world);
  await registered(world, 1, 2, 3);
  const created = await world.call('createTable', createTable, { body: { table: 'cities', pre_split: ['m'] } });
  if (!created.ok) throw new Error(created.error.code);
  await operations.ended(created.value.operation_id);
  await operations.stop();
  started = [];
  Object.assign(world.deps.operations, {
    start: async (type: string, operationId: string) => {
      started.push({ type, operationId });
      return { executionArn: 'arn' };
    },
  });
});
afterEach(() => world.close());

const shards = async (): Promise<ShardDescriptor[]> => {
  const stored = await world.records.get('table', { table: tableName('cities') });
  const page = await world.directory.scan(stored!.value.tableId, { fromKey: encodedKey(''), limit: 10 });
  return page.shards.map(({ shard }) => shard);
};

interface Told {
  readonly bytes: number;
  readonly requests?: number;
  readonly split?: { readonly key: string; readonly left_share: number };
}
/** The leaders tell this of each shard, a beat after the last one; then the tick runs. */
async function beat(told: readonly Told[], afterMs = 10_000): Promise<void> {
  nowMs += afterMs;
  for (const [index, shard] of (await shards()).entries()) {
    const one = told[index];
    if (one === undefined) continue;
    const { nodeId } = shard.leader;
    const id = { nodeId };
    const present = await world.records.get('nodeStats', id);
    const known = (present?.value.stats ?? { busiest: [] }) as { busiest: { shard_id: string }[] };
    const mine = {
      shard_id: shard.shardId,
      role: 'LEADER',
      serving: true,
      bytes: one.bytes,
      reads_per_second: one.requests ?? 0,
      ...(one.split === undefined ? {} : { load_split: one.split }),
    };
    const busiest = [...known.busiest.filter(({ shard_id }) => shard_id !== shard.shardId), mine];
    await world.records.observe({
      kind: 'put',
      entity: 'nodeStats',
      value: { nodeId, nodeEpoch: nodeEpoch(1), stats: { busiest } as never, atMs: nowMs },
      when: [present === null ? { kind: 'absent' } : { kind: 'revision', is: present.revision }],
    });
  }
  await changeStructure(world.deps, BY);
}
const types = (): string[] => started.map(({ type }) => type);

describe('shards split by themselves', () => {
  test('above the size, at once; not again while that is under way', async () => {
    await beat([{ bytes: 600 * MB }, { bytes: 100 * MB }]);
    expect(types()).toEqual(['split-shard']);
    const decisions = await world.records.query(
      'decision' as never,
      {
        partition: { entity: `shard:${(await shards())[0]!.shardId}` },
        order: 'forward',
        limit: 10,
      } as never,
    );
    expect(JSON.stringify(decisions.items)).toContain('SPLIT_SIZE');
  });

  test('by load only when it lasts, and only where the split divides it', async () => {
    const hot = { bytes: MB, requests: 9_000, split: { key: 'f', left_share: 0.5 } };
    nowMs += 120_000; // the cool-down since its creation
    await beat([hot]);
    expect(types()).toEqual([]);
    await beat([{ ...hot, requests: 1 }]);
    await beat([hot]);
    await beat([hot, { ...hot, split: { key: 'z', left_share: 0.99 } }]);
    await beat([hot, { ...hot, split: { key: 'z', left_share: 0.99 } }]);
    expect(new Set(types())).toEqual(new Set(['split-shard']));
    const records = await Promise.all(
      started.map(({ operationId }) => world.records.get('operation', { operationId: operationId as never })),
    );
    expect(records.map((record) => record?.value.input)).toContainEqual(expect.objectContaining({ split_key: 'f' }));
    expect(JSON.stringify(records)).not.toContain('"split_key":"z"');
  });

  test('not where it is switched off, for the cluster or for the table', async () => {
    const set = (body: Parameters<typeof setStructureConfig>[2]['body']) =>
      world.call('setStructureConfig', setStructureConfig, { body });
    expect(await set({ tables: { cities: { split: 'off' } } })).toMatchObject({ ok: true });
    await beat([{ bytes: 600 * MB }]);
    await set({ tables: { cities: { split_bytes: 64 * MB } } });
    await set({ split: 'off' });
    await beat([{ bytes: 600 * MB }]);
    expect(types()).toEqual([]);
    await set({ split: 'on' });
    await beat([{ bytes: 100 * MB }]);
    expect(types()).toEqual(['split-shard']);
  });
});

describe('cold neighbours merge by themselves', () => {
  const cold = [{ bytes: MB }, { bytes: MB }];

  test('after ten quiet minutes, and an hour after their last change', async () => {
    for (let minute = 0; minute < 55; minute++) for (let i = 0; i < 3; i++) await beat(cold, 20_000);
    expect(types()).toEqual([]);
    for (let minute = 0; minute < 7; minute++) for (let i = 0; i < 3; i++) await beat(cold, 20_000);
    expect(types()[0]).toBe('merge-shards');
    expect(types()).toHaveLength(1);
  });
});
