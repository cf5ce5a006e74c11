import { jest } from '@jest/globals';
import { checkTiling } from '../../shared/domain/invariants.ts';
import { encodedKey, generation, tableName } from '../../shared/domain/ids.ts';
import { hasEnded } from '../../shared/domain/operation.ts';
import type { OperationRecord } from '../../shared/domain/records.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { CommandAnswer, CommandDraft } from '../../shared/ports.ts';
import { mergeShards } from '../../shared/usecases/merge-shards.ts';
import { cancelOperation, pauseOperation, resumeOperation } from '../../shared/usecases/operations.ts';
import { report as reportOf } from '../../shared/usecases/reports.ts';
import { createTable, getTable } from '../../shared/usecases/tables.ts';
import { machine } from '../../state-machines/merge-shards/steps.ts';
import { MetadataWatch } from '../simulation/metadata-watch.ts';
import { operationsOf } from '../support/operations.ts';
import type { StepTask } from '../support/operations.ts';
import { nodePrincipal, registered, useCaseWorld } from '../support/use-case-world.ts';
import type { UseCaseWorld } from '../support/use-case-world.ts';

type Around = (task: StepTask, run: () => Promise<{ next: string }>) => Promise<{ next: string }>;

let world: UseCaseWorld;
let operations: ReturnType<typeof operationsOf>;
let around: Around = (_task, run) => run();
/** Sees each violation of an invariant by any commit. */
let violations: unknown[];

/** A node that gives receipts, sealed ones where it is asked for them. */
const obedient = ({ type, shard }: CommandDraft): CommandAnswer => {
  const { epoch, generation } = shard;
  if (type === 'seal_merge')
    return { outcome: 'DONE', receipt: { epoch, generation, sealed: { epoch, seq: 10 * epoch } } };
  return { outcome: 'DONE', receipt: type === 'step_down' ? { epoch, generation } : null };
};

/** Nodes' answers, noted for the watch as the wire would show them. */
let watch: MetadataWatch;
const answering = (answer: (draft: CommandDraft) => CommandAnswer): void => {
  world.answer((draft) => {
    const given = answer(draft);
    if (given.outcome === 'DONE' && given.receipt !== null)
      watch.receiptGiven(draft.shard.shardId, draft.replicaId, given.receipt);
    return given;
  });
};

beforeEach(async () => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask', 'performance', 'Date'] });
  around = (_task, run) => run();
  violations = [];
  watch = new MetadataWatch(
    (violation) => violations.push(violation),
    () => undefined,
    () => false,
  );
  world = useCaseWorld();
  operations = operationsOf(world, (task, run) => around(task, run));
  answering(obedient);
  await registered(world, 1, 2, 3);
  const created = await world.call('createTable', createTable, { body: { table: 'cities', pre_split: ['g', 'p'] } });
  if (!created.ok) throw new Error(created.error.code);
  await ended(created.value.operation_id);
});
afterEach(async () => {
  jest.useRealTimers();
  await operations.stop();
  for (const writes of world.committed) watch.committed(writes);
  watch.checkTables();
  world.close();
  expect(violations).toEqual([]);
});

const shards = async (): Promise<ShardDescriptor[]> => {
  const stored = await world.records.get('table', { table: tableName('cities') });
  if (stored === null) return [];
  const page = await world.directory.scan(stored.value.tableId, { fromKey: encodedKey(''), limit: 100 });
  return page.shards.map(({ shard }) => shard);
};
type MergeBody = Parameters<typeof mergeShards>[2]['body'];
const ask = async (shard: ShardDescriptor, body: MergeBody = {}) =>
  world.call('mergeShards', mergeShards, { params: { shard_id: shard.shardId }, body });
const start = async (shard: ShardDescriptor, body: MergeBody = {}): Promise<string> => {
  const answer = await ask(shard, body);
  if (!answer.ok || answer.value.operation_id === null) throw new Error(answer.ok ? 'dry' : answer.error.message);
  return answer.value.operation_id;
};
async function ended(id: string): Promise<OperationRecord> {
  const end = operations.ended(id);
  let open = true;
  void end.finally(() => (open = false));
  while (open) await jest.advanceTimersByTimeAsync(250);
  return end;
}
/** Nothing is owned, no intent is open, every shard is ACTIVE, and the table is tiled. */
async function nothingLeft(count: number): Promise<void> {
  const all = await shards();
  expect(all.map((shard) => [shard.state.kind, shard.intent])).toEqual(all.map(() => ['ACTIVE', null]));
  expect(all).toHaveLength(count);
  expect(checkTiling('cities', all)).toEqual([]);
  expect((await world.records.query('ownedShard', { partition: {}, order: 'forward', limit: 10 })).items).toEqual([]);
}

describe('merge-shards (S2)', () => {
  test('brings the leaderships together, seals both, commits once, tells every copy', async () => {
    const [left, right] = await shards();
    const id = await start(left!);
    expect(await ended(id)).toMatchObject({ status: 'SUCCEEDED', outcome: 'APPLIED', progress: { done: 1, total: 1 } });
    await nothingLeft(2);
    const [merged] = await shards();
    expect(merged).toMatchObject({ shardId: left!.shardId, startKey: '', endKey: 'p' });
    expect(merged!.epoch).toBeGreaterThan(Math.max(left!.epoch, right!.epoch));
    expect(merged!.mergedFrom).toMatchObject({ rightShardId: right!.shardId, borderKey: 'g', endKey: 'p' });
    const told = world.sent.filter((draft) => draft.type === 'apply_merge').map((draft) => draft.nodeId);
    expect(new Set(told)).toEqual(new Set(['node-1', 'node-2', 'node-3']));
    expect(await world.directory.locate(right!.shardId)).toBeNull();
    expect(await world.call('getTable', getTable, { params: { table: 'cities' } })).toMatchObject({
      value: { shards: 2 },
    });
  });

  test('with the neighbour on the left: that one stays', async () => {
    const [left, right] = await shards();
    await ended(await start(right!, { with_shard_id: left!.shardId }));
    expect((await shards())[0]).toMatchObject({ shardId: left!.shardId, endKey: 'p' });
  });

  test.each(Object.keys(machine.steps).filter((step) => !['fail', 'roll-back', 'await-seals'].includes(step)))(
    'step %s run twice, its first answer lost, merges once',
    async (step) => {
      let repeated = false;
      around = async (task, run) => {
        if (task.step !== step || repeated) return run();
        repeated = true;
        if (task.task_token === undefined) await run();
        throw new Error('the answer was lost');
      };
      const [left] = await shards();
      expect(await ended(await start(left!))).toMatchObject({ status: 'SUCCEEDED' });
      expect(repeated).toBe(true);
      await nothingLeft(2);
    },
  );

  test('a leader that refuses to be sealed serves on; asked again it is merged', async () => {
    let refusals = 2;
    answering((draft) =>
      draft.type === 'seal_merge' && refusals-- > 0
        ? { outcome: 'REFUSED', code: 'NOT_SETTLED', message: 'a copy lags' }
        : obedient(draft),
    );
    const [left] = await shards();
    expect(await ended(await start(left!))).toMatchObject({ status: 'SUCCEEDED' });
    await nothingLeft(2);
  });

  test.each([
    ['refuses', { outcome: 'REFUSED', code: 'NOT_SETTLED', message: 'a copy lags' }],
    ['does not answer', { outcome: 'QUEUED' }],
  ] as const)(
    'one side is sealed and the other %s: both get a leader back at the next epoch (E2)',
    async (_what, answer) => {
      const [left, right] = await shards();
      answering((draft) =>
        draft.type === 'seal_merge' && draft.shard.shardId === right!.shardId ? answer : obedient(draft),
      );
      expect(await ended(await start(left!))).toMatchObject({
        status: 'FAILED',
        outcome: 'ROLLED_BACK',
        error: { code: 'NOT_SEALED' },
      });
      await nothingLeft(3);
      const [after] = await shards();
      expect(after).toMatchObject({ endKey: 'g', epoch: left!.epoch + 1, leader: left!.leader });
    },
  );

  describe('without push: seals come by reports', () => {
    /** What the node that leads both reports for the commands of its mailbox. */
    let report: (draft: CommandDraft) => CommandAnswer | null;
    const reported = async (draft: CommandDraft, answer: CommandAnswer): Promise<unknown> => {
      const { shard, replicaId, nodeId } = draft;
      const receipt = answer.outcome === 'DONE' ? answer.receipt : null;
      if (receipt !== null) watch.receiptGiven(shard.shardId, replicaId, receipt);
      const node = Number(nodeId.replace('node-', ''));
      return world.call(
        'report',
        reportOf,
        {
          params: { node_id: nodeId },
          body: {
            node_epoch: 1,
            incarnation: `inc-${node}`,
            reports: [
              {
                type: 'command_ack',
                command_id: `cmd-${shard.shardId}`,
                outcome: answer.outcome === 'REFUSED' ? 'REFUSED' : 'DONE',
                code: answer.outcome === 'REFUSED' ? answer.code : null,
                message: null,
                receipt: receipt === null ? null : { shard_id: shard.shardId, replica_id: replicaId, ...receipt },
              },
            ],
          },
        },
        nodePrincipal(node),
      );
    };

    beforeEach(() => {
      report = obedient;
      Object.assign(world.deps, { settings: { ...world.deps.settings, pushToNodes: false } });
      const sendForTask = world.deps.commands.sendForTask.bind(world.deps.commands);
      Object.assign(world.deps.commands, {
        sendForTask: async (drafts: CommandDraft[], task: { operationId: never; taskToken: string }) => {
          if (drafts.some(({ type }) => type !== 'seal_merge')) return sendForTask(drafts, task);
          const answers = drafts.map((draft) => report(draft));
          for (const [index, answer] of answers.entries()) if (answer !== null) await reported(drafts[index]!, answer);
          const refused = answers.find((answer) => answer?.outcome === 'REFUSED');
          if (refused?.outcome === 'REFUSED')
            await world.deps.operations.failTask(task.taskToken, refused.code, refused.message);
          else if (answers.every((answer) => answer !== null))
            await world.deps.operations.succeedTask(task.taskToken, { next: 'acknowledged' });
        },
      });
    });

    test('both are asked at once, and their seals stand in the shards until the commit', async () => {
      const [left] = await shards();
      const asked: string[] = [];
      report = (draft) => {
        asked.push(draft.shard.shardId);
        return obedient(draft);
      };
      expect(await ended(await start(left!))).toMatchObject({ status: 'SUCCEEDED' });
      expect(asked).toHaveLength(2);
      await nothingLeft(2);
    });

    test.each(['seal', 'await-seals'])('step %s run twice, its first answer lost, merges once', async (step) => {
      let repeated = false;
      around = async (task, run) => {
        if (task.step !== step || repeated) return run();
        repeated = true;
        await run();
        throw new Error('the answer was lost');
      };
      expect(await ended(await start((await shards())[0]!))).toMatchObject({ status: 'SUCCEEDED' });
      await nothingLeft(2);
    });

    test('a seal of a descriptor that changed meanwhile is not taken; the leader is asked again (E2)', async () => {
      const [left] = await shards();
      let stale = true;
      report = (draft) => {
        const answer = obedient(draft);
        if (!stale || answer.outcome !== 'DONE' || answer.receipt === null) return answer;
        stale = false;
        return { outcome: 'DONE', receipt: { ...answer.receipt, generation: generation(draft.shard.generation - 1) } };
      };
      expect(await ended(await start(left!))).toMatchObject({ status: 'SUCCEEDED' });
      expect(stale).toBe(false);
      await nothingLeft(2);
    });

    test.each([
      ['refuses', { outcome: 'REFUSED', code: 'NOT_SETTLED', message: 'a copy lags' } as const],
      ['never answers', null],
    ])('a side that %s: both get a leader back at the next epoch (E2)', async (_what, answer) => {
      const [left, right] = await shards();
      report = (draft) => (draft.shard.shardId === right!.shardId ? answer : obedient(draft));
      expect(await ended(await start(left!))).toMatchObject({
        status: 'FAILED',
        outcome: 'ROLLED_BACK',
        error: { code: 'NOT_SEALED' },
      });
      await nothingLeft(3);
      expect((await shards())[0]).toMatchObject({ endKey: 'g', epoch: left!.epoch + 1, leader: left!.leader });
    });
  });

  test('the sealed leader does not answer the undoing: the intent stays for the reconciler, no lock does', async () => {
    const [left, right] = await shards();
    answering((draft) => {
      if (draft.type === 'step_down' && draft.shard.shardId === left!.shardId) return { outcome: 'QUEUED' };
      return draft.type === 'seal_merge' && draft.shard.shardId === right!.shardId
        ? { outcome: 'QUEUED' }
        : obedient(draft);
    });
    await ended(await start(left!));
    const [after] = await shards();
    expect(after).toMatchObject({ state: { kind: 'ACTIVE' }, intent: { targetReplicaId: left!.leader.replicaId } });
  });

  test('cancelled before the seal it leaves everything as it was; after the commit it is refused', async () => {
    let cancelled: Awaited<ReturnType<typeof cancel>> | undefined;
    const cancel = (id: string) => world.call('cancelOperation', cancelOperation, { params: { operation_id: id } });
    around = async (task, run) => {
      if (task.step === 'seal') cancelled ??= await cancel(task.operation_id);
      return run();
    };
    const [left] = await shards();
    expect(await ended(await start(left!))).toMatchObject({ status: 'CANCELLED', outcome: 'ROLLED_BACK' });
    await nothingLeft(3);
    cancelled = undefined;
    around = async (task, run) => {
      if (task.step === 'apply') cancelled ??= await cancel(task.operation_id);
      return run();
    };
    expect(await ended(await start((await shards())[0]!))).toMatchObject({ status: 'SUCCEEDED' });
    expect(cancelled).toMatchObject({ ok: false, error: { code: 'NOT_CANCELLABLE' } });
    await nothingLeft(2);
  });

  test('cancelled by a request that comes between seal and commit, it is given back by transfers', async () => {
    const [left] = await shards();
    let id = '';
    let asked: Promise<unknown> | null = null;
    const inner = world.deps.directory.mergeWrites.bind(world.deps.directory);
    Object.assign(world.deps.directory, {
      mergeWrites: async (...parts: Parameters<typeof inner>) => {
        asked ??= world.call('cancelOperation', cancelOperation, { params: { operation_id: id } });
        await asked;
        return inner(...parts);
      },
    });
    id = await start(left!);
    expect(await ended(id)).toMatchObject({ status: 'CANCELLED', outcome: 'ROLLED_BACK' });
    await nothingLeft(3);
  });

  test('paused and resumed it goes on where it was', async () => {
    const [left] = await shards();
    let paused = false;
    around = async (task, run) => {
      if (task.step === 'lead' && !paused) {
        paused = true;
        await world.call('pauseOperation', pauseOperation, { params: { operation_id: task.operation_id } });
      }
      return run();
    };
    const id = await start(left!);
    expect(await ended(id)).toMatchObject({ status: 'PAUSED' });
    await world.call('resumeOperation', resumeOperation, { params: { operation_id: id } });
    expect(await ended(id)).toMatchObject({ status: 'SUCCEEDED' });
    await nothingLeft(2);
  });

  test('two merges that want the same shard: one waits, and then finds that its parts changed', async () => {
    const [left, middle, right] = await shards();
    const first = await start(left!);
    const second = await start(middle!, { with_shard_id: right!.shardId });
    const ends = [await ended(first), await ended(second)];
    expect(ends.every((operation) => hasEnded(operation))).toBe(true);
    expect(ends.map((operation) => operation.status)).toContain('SUCCEEDED');
    const all = await shards();
    await nothingLeft(all.length);
  });
});

describe('a request to merge', () => {
  test('of the last shard without a neighbour, or of shards apart, is refused', async () => {
    const [left, middle, right] = await shards();
    expect(await ask(right!)).toMatchObject({ error: { code: 'NO_NEIGHBOUR' } });
    expect(await ask(left!, { with_shard_id: right!.shardId })).toMatchObject({ error: { code: 'NOT_NEIGHBOURS' } });
    expect(await ask(left!, { with_shard_id: 'shard-none' })).toMatchObject({ error: { code: 'SHARD_NOT_FOUND' } });
    expect(await ask({ ...left!, shardId: 'shard-none' as ShardDescriptor['shardId'] })).toMatchObject({
      error: { code: 'SHARD_NOT_FOUND' },
    });
    expect(await ask(middle!, { generation: 99 })).toMatchObject({ error: { code: 'GENERATION_STALE' } });
    await nothingLeft(3);
  });

  test('as a dry run shows the plan and stores nothing; that plan applies while nothing changed', async () => {
    const [left, middle] = await shards();
    const dry = await ask(left!, { dry_run: true });
    if (!dry.ok) throw new Error(dry.error.code);
    expect(dry.value).toMatchObject({
      operation_id: null,
      plan: { shard_id: left!.shardId, with_shard_id: middle!.shardId, moves: [] },
    });
    const before = (await world.records.query('operation', { partition: {}, order: 'forward', limit: 10 })).items
      .length;
    expect(before).toBe(1);
    expect(await ask(left!, { plan: { ...dry.value.plan, with_generation: 77 } })).toMatchObject({
      error: { code: 'PLAN_STALE' },
    });
    expect(await ended(await start(left!, { plan: dry.value.plan }))).toMatchObject({ status: 'SUCCEEDED' });
    expect(await ask((await shards())[0]!, { plan: dry.value.plan })).toMatchObject({ error: { code: 'PLAN_STALE' } });
  });
});
