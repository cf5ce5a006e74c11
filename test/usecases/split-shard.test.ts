import { jest } from '@jest/globals';
import { checkTiling } from '../../shared/domain/invariants.ts';
import { encodedKey, tableName } from '../../shared/domain/ids.ts';
import { TERMINAL } from '../../shared/domain/operation.ts';
import type { OperationRecord } from '../../shared/domain/records.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { CommandDraft } from '../../shared/ports.ts';
import { cancelOperation, redriveOperation } from '../../shared/usecases/operations.ts';
import { report } from '../../shared/usecases/reports.ts';
import { splitShard } from '../../shared/usecases/split-shard.ts';
import { createTable, deleteTable, getTable } from '../../shared/usecases/tables.ts';
import { machine } from '../../state-machines/split-shard/steps.ts';
import { MetadataWatch } from '../simulation/metadata-watch.ts';
import { operationsOf } from '../support/operations.ts';
import type { StepTask } from '../support/operations.ts';
import { nodePrincipal, registered, useCaseWorld } from '../support/use-case-world.ts';
import type { UseCaseWorld } from '../support/use-case-world.ts';

type Around = (task: StepTask, run: () => Promise<{ next: string }>) => Promise<{ next: string }>;

let world: UseCaseWorld;
let operations: ReturnType<typeof operationsOf>;
/** What happens around each step; replaced by a test. */
let around: Around = (_task, run) => run();

beforeEach(async () => {
  // State machines wait by the global timers.
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask', 'performance', 'Date'] });
  around = (_task, run) => run();
  world = useCaseWorld();
  operations = operationsOf(world, (task, run) => around(task, run));
  await registered(world, 1, 2, 3);
  const created = await world.call('createTable', createTable, { body: { table: 'cities', pre_split: ['m'] } });
  if (!created.ok) throw new Error(created.error.code);
  await ended(created.value.operation_id);
});
afterEach(async () => {
  jest.useRealTimers();
  await operations.stop();
  world.close();
});

const shards = async (): Promise<ShardDescriptor[]> => {
  const stored = await world.records.get('table', { table: tableName('cities') });
  if (stored === null) return [];
  const page = await world.directory.scan(stored.value.tableId, { fromKey: encodedKey(''), limit: 100 });
  return page.shards.map(({ shard }) => shard);
};
const first = async (): Promise<ShardDescriptor> => (await shards())[0]!;
const numberOf = (shard: ShardDescriptor): number => Number(shard.leader.nodeId.split('-')[1]);

type SplitBody = Parameters<typeof splitShard>[2]['body'];
const ask = async (shard: ShardDescriptor, body: SplitBody = {}) =>
  world.call('splitShard', splitShard, { params: { shard_id: shard.shardId }, body });
const start = async (shard: ShardDescriptor, body: SplitBody = {}): Promise<string> => {
  const answer = await ask(shard, body);
  if (!answer.ok || answer.value.operation_id === null) throw new Error(answer.ok ? 'dry' : answer.error.message);
  return answer.value.operation_id;
};

/** The leader answers every notice of an intent without a key by this one. */
const leaderProposes = (key: string | null): void => {
  world.answer((draft: CommandDraft) => {
    const { shard } = draft;
    if (draft.type === 'apply_descriptor' && shard.state.kind === 'SPLITTING' && shard.state.splitKey === null)
      void world.call(
        'report',
        report,
        {
          params: { node_id: shard.leader.nodeId },
          body: {
            node_epoch: shard.leader.nodeEpoch,
            incarnation: `inc-${numberOf(shard)}`,
            reports: [
              {
                type: 'split_key',
                shard_id: shard.shardId,
                epoch: shard.epoch,
                generation: shard.generation,
                operation_id: shard.state.operationId,
                split_key: key,
              },
            ],
          },
        },
        nodePrincipal(numberOf(shard), shard.leader.nodeEpoch),
      );
    return { outcome: 'DONE', receipt: null };
  });
};

/** Runs virtual time until the operation has ended: polls and retries wait for it. */
async function ended(id: string): Promise<OperationRecord> {
  const end = operations.ended(id);
  let open = true;
  void end.finally(() => (open = false));
  while (open) await jest.advanceTimersByTimeAsync(250);
  return end;
}

describe('split-shard (S1)', () => {
  test('at a key: every copy prepares, one commit makes both parts, every copy is told of both', async () => {
    const before = await first();
    const id = await start(before, { split_key: 'f' });
    expect(await ended(id)).toMatchObject({ status: 'SUCCEEDED', outcome: 'APPLIED', progress: { done: 1, total: 1 } });
    const [parent, child, right] = await shards();
    expect([parent?.endKey, child?.startKey, child?.endKey, right?.startKey]).toEqual(['f', 'f', 'm', 'm']);
    expect(checkTiling('cities', await shards())).toEqual([]);
    expect(child).toMatchObject({ epoch: before.epoch + 1, state: { kind: 'ACTIVE' } });
    const told = (type: CommandDraft['type']) =>
      world.sent
        .filter((draft) => draft.type === type)
        .map((draft) => draft.nodeId)
        .toSorted();
    expect(told('prepare_split')).toEqual(['node-1', 'node-2', 'node-3']);
    // The leader first, and then all of them.
    expect(told('apply_split')).toEqual(['node-1', 'node-1', 'node-2', 'node-3']);
    expect(world.sent.find((draft) => draft.type === 'apply_split')?.nodeId).toBe(parent?.leader.nodeId);
    expect(world.sent.find((draft) => draft.type === 'apply_split')?.related?.shardId).toBe(child?.shardId);
    expect(await world.call('getTable', getTable, { params: { table: 'cities' } })).toMatchObject({
      value: { shards: 3 },
    });
    expect((await world.records.query('ownedShard', { partition: {}, order: 'forward', limit: 10 })).items).toEqual([]);
  });

  test('a copy that lags is told of the split but not waited for', async () => {
    const before = await first();
    const lagging = before.replicas.find((replica) => replica.replicaId !== before.leader.replicaId)!;
    const proposal = {
      type: 'replica_status' as const,
      shard_id: before.shardId,
      epoch: before.epoch,
      generation: before.generation,
      replica_id: lagging.replicaId,
      node_epoch: lagging.nodeEpoch,
      store_uuid: lagging.storeUuid,
      sync_status: 'LAGGING' as const,
    };
    await world.call(
      'report',
      report,
      {
        params: { node_id: before.leader.nodeId },
        body: {
          node_epoch: before.leader.nodeEpoch,
          incarnation: `inc-${numberOf(before)}`,
          reports: [proposal],
        },
      },
      nodePrincipal(numberOf(before), before.leader.nodeEpoch),
    );
    world.answer((draft) =>
      draft.nodeId === lagging.nodeId && draft.type === 'apply_split'
        ? { outcome: 'REFUSED', code: 'NOT_FORKED', message: 'not prepared' }
        : { outcome: 'DONE', receipt: null },
    );
    expect(await ended(await start(await first(), { split_key: 'f' }))).toMatchObject({
      status: 'SUCCEEDED',
      error: null,
    });
    const prepared = world.sent.filter((draft) => draft.type === 'prepare_split').map((draft) => draft.nodeId);
    expect(prepared).not.toContain(lagging.nodeId);
    const child = (await shards())[1];
    expect(child?.replicas.find((replica) => replica.nodeId === lagging.nodeId)?.syncStatus).toBe('LAGGING');
  });

  test("without a key it takes the leader's", async () => {
    leaderProposes('c');
    expect(await ended(await start(await first()))).toMatchObject({ status: 'SUCCEEDED' });
    expect((await shards()).map((shard) => shard.startKey)).toEqual(['', 'c', 'm']);
  });

  test('a leader that finds no key ends it: the shard is as it was', async () => {
    leaderProposes(null);
    const before = await first();
    expect(await ended(await start(before))).toMatchObject({
      status: 'FAILED',
      outcome: 'ROLLED_BACK',
      error: { code: 'NO_SPLIT_KEY' },
    });
    expect(await shards()).toHaveLength(2);
    expect(await first()).toMatchObject({ endKey: 'm', epoch: before.epoch, state: { kind: 'ACTIVE' } });
  });

  test.each(Object.keys(machine.steps).filter((step) => !['fail', 'roll-back'].includes(step)))(
    'step %s run twice, its first answer lost, splits once',
    async (step) => {
      leaderProposes('c');
      let repeated = false;
      around = async (task, run) => {
        if (task.step !== step || repeated) return run();
        repeated = true;
        // A waiting step's answer goes by its token: there the step dies before it.
        if (task.task_token === undefined) await run();
        throw new Error('the answer was lost');
      };
      const before = await first();
      expect(await ended(await start(before))).toMatchObject({ status: 'SUCCEEDED' });
      expect(repeated).toBe(true);
      const all = await shards();
      expect(all.map((shard) => shard.startKey)).toEqual(['', 'c', 'm']);
      expect(checkTiling('cities', all)).toEqual([]);
    },
  );

  test('a copy that refuses to prepare for good: the shard is given back, and a redrive splits it', async () => {
    world.answer((draft) =>
      draft.type === 'prepare_split'
        ? { outcome: 'REFUSED', code: 'STORAGE', message: 'disk full' }
        : { outcome: 'DONE', receipt: null },
    );
    const before = await first();
    const id = await start(before, { split_key: 'f' });
    expect(await ended(id)).toMatchObject({ status: 'FAILED', outcome: 'ROLLED_BACK' });
    expect(await first()).toMatchObject({ endKey: 'm', state: { kind: 'ACTIVE' } });
    expect(world.sent.at(-1)).toMatchObject({ type: 'apply_descriptor', shard: { state: { kind: 'ACTIVE' } } });
    world.answer(() => ({ outcome: 'DONE', receipt: null }));
    expect(await world.call('redriveOperation', redriveOperation, { params: { operation_id: id } })).toMatchObject({
      ok: true,
    });
    expect(await ended(id)).toMatchObject({ status: 'SUCCEEDED', outcome: 'APPLIED' });
    expect(await shards()).toHaveLength(3);
  });

  test('cancelled before the commit it undoes; after it, it is refused and goes on', async () => {
    const before = await first();
    let cancelled: Awaited<ReturnType<typeof cancel>> | undefined;
    const cancel = (id: string) => world.call('cancelOperation', cancelOperation, { params: { operation_id: id } });
    around = async (task, run) => {
      if (task.step === 'commit' && cancelled === undefined) cancelled = await cancel(task.operation_id);
      return run();
    };
    expect(await ended(await start(before, { split_key: 'f' }))).toMatchObject({
      status: 'CANCELLED',
      outcome: 'ROLLED_BACK',
    });
    expect(cancelled).toMatchObject({ ok: true });
    expect(await shards()).toHaveLength(2);

    cancelled = undefined;
    around = async (task, run) => {
      if (task.step === 'apply') cancelled = await cancel(task.operation_id);
      return run();
    };
    expect(await ended(await start(await first(), { split_key: 'f' }))).toMatchObject({ status: 'SUCCEEDED' });
    expect(cancelled).toMatchObject({ ok: false, error: { code: 'NOT_CANCELLABLE' } });
    expect(await shards()).toHaveLength(3);
  });

  test('its commit keeps the invariants of a split, checked as a whole', async () => {
    const found: unknown[] = [];
    const watch = new MetadataWatch(
      (violation) => found.push(violation),
      () => undefined,
      () => false,
    );
    await ended(await start(await first(), { split_key: 'f' }));
    for (const writes of world.committed) watch.committed(writes);
    watch.checkTables();
    expect(found).toEqual([]);
    expect(watch.counts.splits).toBe(1);
  });
});

describe('a request to split', () => {
  test.each([
    ['the start of the shard', 'm', 400, 'INVALID_KEY'],
    ['a key below it', 'a', 400, 'INVALID_KEY'],
  ])('at %s is refused and changes nothing', async (_what, key, _status, code) => {
    const [, right] = await shards();
    expect(await ask(right!, { split_key: key })).toMatchObject({
      ok: false,
      error: { kind: 'INVALID', code, field: 'split_key' },
    });
    expect(world.started).toEqual([]);
    expect(await shards()).toHaveLength(2);
  });

  test('of an unknown shard, under another generation, or with a stale plan is refused', async () => {
    const shard = await first();
    const unknown = { ...shard, shardId: 'shard-none' as ShardDescriptor['shardId'] };
    expect(await ask(unknown)).toMatchObject({ error: { code: 'SHARD_NOT_FOUND' } });
    expect(await ask(shard, { generation: shard.generation + 1 })).toMatchObject({
      error: { code: 'GENERATION_STALE', detail: { generation: shard.generation } },
    });
    const dry = await ask(shard, { split_key: 'f', dry_run: true });
    if (!dry.ok) throw new Error(dry.error.code);
    expect(dry.value).toMatchObject({ operation_id: null, plan: { split_key: 'f', generation: shard.generation } });
    expect(await shards()).toHaveLength(2);
    await ended(await start(shard, { plan: dry.value.plan }));
    expect((await shards()).map(({ startKey }) => startKey)).toEqual(['', 'f', 'm']);
    expect(await ask(shard, { plan: dry.value.plan })).toMatchObject({ error: { code: 'PLAN_STALE' } });
  });

  test('of a shard that an operation owns names that operation', async () => {
    let refused: Awaited<ReturnType<typeof ask>> | undefined;
    around = async (task, run) => {
      if (task.step === 'prepare') refused ??= await ask(await first(), { split_key: 'g' });
      return run();
    };
    const id = await start(await first(), { split_key: 'f' });
    await ended(id);
    expect(refused).toMatchObject({ ok: false, error: { code: 'SHARD_BUSY', detail: { operation_id: id } } });
  });

  test('while its table is being deleted is refused; a table deleted in the middle leaves no split behind', async () => {
    const shard = await first();
    let deletion: string | null = null;
    around = async (task, run) => {
      if (task.step === 'prepare' && deletion === null) {
        const answer = await world.call('deleteTable', deleteTable, { params: { table: 'cities' } });
        if (!answer.ok) throw new Error(answer.error.code);
        deletion = answer.value.operation_id;
        await operations.ended(deletion);
        expect(await ask(shard)).toMatchObject({ ok: false });
      }
      return run();
    };
    const operation = await ended(await start(shard, { split_key: 'f' }));
    expect(TERMINAL.has(operation.status)).toBe(true);
    expect(await shards()).toEqual([]);
  });
});
