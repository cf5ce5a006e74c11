import { checkTiling } from '../../shared/domain/invariants.ts';
import { encodedKey, operationId, tableName } from '../../shared/domain/ids.ts';
import { executionName, nextRun, RUN_STEPS_MAX } from '../../shared/domain/operation.ts';
import type { OperationRecord } from '../../shared/domain/records.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { changeOperation, continueOpen } from '../../shared/usecases/operation-runs.ts';
import {
  cancelOperation,
  getOperation,
  listOperations,
  pauseOperation,
  redriveOperation,
  resumeOperation,
} from '../../shared/usecases/operations.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { reconcileOnce } from '../../shared/usecases/reconcile.ts';
import { createTable, deleteTable } from '../../shared/usecases/tables.ts';
import { operationStory } from '../support/virtual-operations.ts';
import type { Operations } from '../support/virtual-operations.ts';
import { ADMIN } from '../support/use-case-world.ts';

/** Pause, resume, cancel, redrive, restarts and lost executions at every boundary of a step (ADR 0006, I-9, I-10). */

const TABLE = 'cities';
const SPLIT_KEYS = ['h', 'q'];
const SHARDS = SPLIT_KEYS.length + 1;

const create = async ({ world }: Operations): Promise<string> => {
  const answer = await world.call('createTable', createTable, { body: { table: TABLE, pre_split: SPLIT_KEYS } });
  if (!answer.ok) throw new Error(answer.error.message);
  return answer.value.operation_id;
};
const remove = async ({ world }: Operations): Promise<string> => {
  const answer = await world.call('deleteTable', deleteTable, { params: { table: TABLE } });
  if (!answer.ok) throw new Error(answer.error.message);
  return answer.value.operation_id;
};
const controls = { pauseOperation, resumeOperation, cancelOperation, redriveOperation } as const;
const ask = ({ world }: Operations, name: keyof typeof controls, id: string) =>
  world.call(name, controls[name], { params: { operation_id: id } });
const asked = async (operations: Operations, name: keyof typeof controls, id: string): Promise<void> => {
  const answer = await ask(operations, name, id);
  if (!answer.ok) throw new Error(`${name}: ${answer.error.code} ${answer.error.message}`);
};
const table = async ({ world }: Operations) =>
  (await world.records.get('table', { table: tableName(TABLE) }))?.value ?? null;
async function shardsOf(operations: Operations): Promise<readonly ShardDescriptor[]> {
  const found = await table(operations);
  if (found === null) return [];
  const page = await operations.world.directory.scan(found.tableId, { fromKey: encodedKey(''), limit: 1000 });
  return page.shards.map(({ shard }) => shard);
}
const open = async ({ world }: Operations): Promise<readonly string[]> =>
  (await world.records.query('openOperation', { partition: {}, order: 'forward', limit: 10 })).items.map(
    ({ value }) => value.operationId,
  );

async function expectTable(operations: Operations): Promise<void> {
  expect(await table(operations)).toMatchObject({ state: 'ACTIVE' });
  const shards = await shardsOf(operations);
  expect(shards).toHaveLength(SHARDS);
  expect(checkTiling(TABLE, shards)).toEqual([]);
  expect(await open(operations)).toEqual([]);
}

/** No row of any shard or replica is left in the topology table. */
async function expectNothing(operations: Operations): Promise<void> {
  expect(await table(operations)).toBeNull();
  for (const node of [1, 2, 3, 4, 5]) {
    const { replicas } = await operations.world.directory.replicasOn(`node-${node}` as never, { limit: 10 });
    expect(replicas).toEqual([]);
  }
  expect(await open(operations)).toEqual([]);
}

const CREATE_STEPS = ['begin', 'plan', 'build-directory', 'create-replicas', 'start-leaders', 'advance', 'activate'];
const DELETE_STEPS = ['begin', 'remove-replicas', 'remove-shards', 'finish'];

/** Asks once, at the boundary before the first `step`. */
const before = (operations: Operations, step: string, work: (id: string) => Promise<void>): void => {
  let done = false;
  operations.around(async (task, run) => {
    if (task.step === step && !done) {
      done = true;
      await work(task.operation_id);
    }
    return run();
  });
};

describe('pause and resume', () => {
  test.each(CREATE_STEPS)('create-table, before %s', (step) =>
    operationStory(async (operations) => {
      before(operations, step, (id) => asked(operations, 'pauseOperation', id));
      const id = await create(operations);
      expect(await operations.idle(id)).toMatchObject({ status: 'PAUSED', control: 'PAUSE', run: 1, waitingOn: null });
      expect(operations.boundaries()).toBe(CREATE_STEPS.indexOf(step) + 1);
      // Nothing moves it: neither time nor the reconciler.
      await operations.wait(60_000);
      await reconcileOnce(operations.world.deps);
      expect(await operations.idle(id)).toMatchObject({ status: 'PAUSED' });
      await asked(operations, 'resumeOperation', id);
      expect(await operations.idle(id)).toMatchObject({ status: 'SUCCEEDED', outcome: 'APPLIED', run: 2 });
      await expectTable(operations);
    }),
  );

  test.each(DELETE_STEPS)('delete-table, before %s', (step) =>
    operationStory(async (operations) => {
      await operations.idle(await create(operations));
      before(operations, step, (id) => asked(operations, 'pauseOperation', id));
      const id = await remove(operations);
      expect(await operations.idle(id)).toMatchObject({ status: 'PAUSED' });
      await asked(operations, 'resumeOperation', id);
      expect(await operations.idle(id)).toMatchObject({ status: 'SUCCEEDED', progress: { done: SHARDS } });
      await expectNothing(operations);
    }),
  );

  test('taken back before the next boundary: the present execution goes on', () =>
    operationStory(async (operations) => {
      before(operations, 'plan', async (id) => {
        await asked(operations, 'pauseOperation', id);
        await asked(operations, 'resumeOperation', id);
      });
      expect(await operations.idle(await create(operations))).toMatchObject({ status: 'SUCCEEDED', run: 1 });
    }));

  test('in the middle of undoing: it goes on undoing', () =>
    operationStory(async (operations) => {
      let paused = false;
      operations.around(async (task, run) => {
        if (task.step === 'create-replicas') await asked(operations, 'cancelOperation', task.operation_id);
        if (task.step === 'roll-back' && !paused) {
          paused = true;
          await asked(operations, 'pauseOperation', task.operation_id);
        }
        return run();
      });
      const id = await create(operations);
      expect(await operations.idle(id)).toMatchObject({ status: 'PAUSED', undoing: true });
      await asked(operations, 'resumeOperation', id);
      expect(await operations.idle(id)).toMatchObject({ status: 'CANCELLED', outcome: 'ROLLED_BACK' });
      await expectNothing(operations);
    }));
});

describe('cancel', () => {
  test.each(CREATE_STEPS)('create-table, before %s: as if it had never been', (step) =>
    operationStory(async (operations) => {
      before(operations, step, (id) => asked(operations, 'cancelOperation', id));
      const id = await create(operations);
      expect(await operations.idle(id)).toMatchObject({ status: 'CANCELLED', outcome: 'ROLLED_BACK', error: null });
      await expectNothing(operations);
      // Again: it is as asked.
      expect(await ask(operations, 'cancelOperation', id)).toMatchObject({ ok: true, value: { status: 'CANCELLED' } });
    }),
  );

  test.each(CREATE_STEPS.slice(1, -1))(
    'noted by a second invocation of %s, whose answer is for nobody: it is undone all the same',
    (step) =>
      operationStory(async (operations) => {
        let done = false;
        operations.around(async (task, run) => {
          const answer = await run();
          if (task.step === step && !done) {
            done = true;
            await asked(operations, 'cancelOperation', task.operation_id);
            await run();
          }
          return answer;
        });
        const id = await create(operations);
        expect(await operations.idle(id)).toMatchObject({ status: 'CANCELLED', outcome: 'ROLLED_BACK', error: null });
        await expectNothing(operations);
      }),
  );

  test.each(['begin', 'remove-replicas'])('delete-table, before %s: the table serves again', (step) =>
    operationStory(async (operations) => {
      await operations.idle(await create(operations));
      before(operations, step, (id) => asked(operations, 'cancelOperation', id));
      expect(await operations.idle(await remove(operations))).toMatchObject({ status: 'CANCELLED' });
      expect(operations.world.sent.filter(({ type }) => type === 'remove_replica')).toEqual([]);
      await expectTable(operations);
    }),
  );

  test.each(['remove-shards', 'finish'])('delete-table, before %s: refused, and the deletion ends', (step) =>
    operationStory(async (operations) => {
      await operations.idle(await create(operations));
      before(operations, step, async (id) => {
        expect(await ask(operations, 'cancelOperation', id)).toMatchObject({
          ok: false,
          error: { kind: 'CONFLICT', code: 'NOT_CANCELLABLE' },
        });
      });
      expect(await operations.idle(await remove(operations))).toMatchObject({ status: 'SUCCEEDED' });
      await expectNothing(operations);
    }),
  );

  test('of a paused operation: it is undone in a new execution', () =>
    operationStory(async (operations) => {
      before(operations, 'advance', (id) => asked(operations, 'pauseOperation', id));
      const id = await create(operations);
      expect(await operations.idle(id)).toMatchObject({ status: 'PAUSED' });
      await asked(operations, 'cancelOperation', id);
      expect(await operations.idle(id)).toMatchObject({ status: 'CANCELLED', run: 2 });
      await expectNothing(operations);
    }));

  test('between a step and its save: the step is repeated, and meets the cancel', () =>
    operationStory(async (operations) => {
      // The request comes after the step read the record: its save fails on the revision.
      const { records } = operations.world;
      const commit = records.commit.bind(records);
      let came = false;
      Object.assign(records, {
        commit: async (change: Parameters<typeof commit>[0]) => {
          if (!came && change.audit[0]?.action === 'STEP_ADVANCE') {
            came = true;
            await asked(operations, 'cancelOperation', change.audit[0].entity.slice('operation:'.length));
          }
          return commit(change);
        },
      });
      expect(await operations.idle(await create(operations))).toMatchObject({ status: 'CANCELLED' });
      expect(came).toBe(true);
      await expectNothing(operations);
    }));
});

describe('redrive', () => {
  const failing = (operations: Operations, ...steps: string[]): void =>
    operations.around((task, run) =>
      steps.includes(task.step) ? Promise.reject(new Error('the store is away')) : run(),
    );
  const healthy = (operations: Operations): void => operations.around((_task, run) => run());

  test.each(CREATE_STEPS.slice(1))('create-table that was rolled back at %s starts anew, with new ids', (step) =>
    operationStory(async (operations) => {
      failing(operations, step);
      const id = await create(operations);
      const first = (await table(operations))?.tableId;
      expect(await operations.idle(id)).toMatchObject({
        status: 'FAILED',
        outcome: 'ROLLED_BACK',
        error: { code: 'STEP_FAILED' },
      });
      await expectNothing(operations);
      healthy(operations);
      await asked(operations, 'redriveOperation', id);
      expect(await operations.idle(id)).toMatchObject({
        status: 'SUCCEEDED',
        outcome: 'APPLIED',
        error: null,
        progress: { done: SHARDS },
      });
      await expectTable(operations);
      expect((await table(operations))?.tableId).not.toBe(first);
    }),
  );

  test('create-table whose undoing failed goes on undoing', () =>
    operationStory(async (operations) => {
      const { commands } = operations.world.deps;
      const send = commands.send.bind(commands);
      before(operations, 'start-leaders', async () => {
        Object.assign(commands, { send: () => Promise.reject(new Error('no command leaves')) });
      });
      const id = await create(operations);
      expect(await operations.idle(id)).toMatchObject({
        status: 'FAILED',
        outcome: null,
        error: { code: 'ROLL_BACK_FAILED' },
      });
      expect(await shardsOf(operations)).toHaveLength(SHARDS);
      Object.assign(commands, { send });
      await asked(operations, 'redriveOperation', id);
      expect(await operations.idle(id)).toMatchObject({ status: 'FAILED', outcome: 'ROLLED_BACK' });
      await expectNothing(operations);
    }));

  test('a name that was taken meanwhile: refused with the reason, the other table untouched', () =>
    operationStory(async (operations) => {
      failing(operations, 'plan');
      const id = await create(operations);
      await operations.idle(id);
      healthy(operations);
      await operations.idle(await create(operations));
      const other = await table(operations);
      await asked(operations, 'redriveOperation', id);
      expect(await operations.idle(id)).toMatchObject({ status: 'FAILED', error: { code: 'TABLE_EXISTS' } });
      expect(await table(operations)).toEqual(other);
      await expectTable(operations);
    }));

  test('a deletion that another one has taken over: it says so, and leaves it alone', () =>
    operationStory(async (operations) => {
      await operations.idle(await create(operations));
      failing(operations, 'remove-shards');
      const first = await remove(operations);
      await operations.idle(first);
      healthy(operations);
      before(operations, 'remove-shards', async (id) => {
        await asked(operations, 'pauseOperation', id);
      });
      const second = await remove(operations);
      await operations.idle(second);
      await asked(operations, 'redriveOperation', first);
      expect(await operations.idle(first)).toMatchObject({ status: 'FAILED', error: { code: 'TABLE_TAKEN_OVER' } });
      await asked(operations, 'resumeOperation', second);
      expect(await operations.idle(second)).toMatchObject({ status: 'SUCCEEDED' });
      await expectNothing(operations);
    }));

  test.each(DELETE_STEPS.slice(1))('delete-table that failed at %s goes on from what stands', (step) =>
    operationStory(async (operations) => {
      await operations.idle(await create(operations));
      failing(operations, step);
      const id = await remove(operations);
      expect(await operations.idle(id)).toMatchObject({ status: 'FAILED', error: { code: 'STEP_FAILED' } });
      healthy(operations);
      await asked(operations, 'redriveOperation', id);
      expect(await operations.idle(id)).toMatchObject({ status: 'SUCCEEDED' });
      await expectNothing(operations);
    }),
  );
});

describe('executions', () => {
  test.each(CREATE_STEPS)('a restart of the process before %s: it goes on in the next execution', (step) =>
    operationStory(async (operations) => {
      let stopped = null as Promise<void> | null;
      before(operations, step, async () => {
        stopped = operations.restart();
        throw new Error('the process is gone');
      });
      const id = await create(operations);
      while (stopped === null) await operations.wait(1);
      await stopped;
      expect(await continueOpen(operations.world.deps, SYSTEM('runner'), () => true)).toBe(1);
      expect(await operations.idle(id)).toMatchObject({ status: 'SUCCEEDED', run: step === 'begin' ? 1 : 2 });
      await expectTable(operations);
    }),
  );

  test.each(CREATE_STEPS.slice(1))('one that has used up its events before %s is followed by the next', (step) =>
    operationStory(async (operations) => {
      before(operations, step, async (id) => {
        const { deps } = operations.world;
        const stored = (await deps.records.get('operation', { operationId: operationId(id) }))!;
        const used = { ...stored.value, runSteps: RUN_STEPS_MAX };
        await changeOperation(deps, ADMIN, stored, used, 'TEST');
      });
      const id = await create(operations);
      const operation = await operations.idle(id);
      expect(operation).toMatchObject({ status: 'SUCCEEDED', run: 2 });
      expect(operation.executionArn).toMatch(new RegExp(`:${executionName(operation.operationId, 2)}$`));
      await expectTable(operations);
    }),
  );

  test('a start that was lost is made up by the reconciler', () =>
    operationStory(async (operations) => {
      operations.loseNextStart();
      const id = await create(operations);
      expect(await operations.idle(id)).toMatchObject({ status: 'PENDING' });
      await reconcileOnce(operations.world.deps);
      expect(await operations.idle(id)).toMatchObject({ status: 'PENDING' }); // it may just be under way
      await operations.wait(10_000);
      await reconcileOnce(operations.world.deps);
      expect(await operations.idle(id)).toMatchObject({ status: 'SUCCEEDED', run: 1 });
    }));

  test('so is the start that a resume lost', () =>
    operationStory(async (operations) => {
      before(operations, 'advance', (id) => asked(operations, 'pauseOperation', id));
      const id = await create(operations);
      await operations.idle(id);
      operations.loseNextStart();
      await asked(operations, 'resumeOperation', id);
      expect(await operations.idle(id)).toMatchObject({ status: 'RUNNING', run: 2 });
      await operations.wait(10_000);
      await reconcileOnce(operations.world.deps);
      expect(await operations.idle(id)).toMatchObject({ status: 'SUCCEEDED' });
      await expectTable(operations);
    }));

  test.each(CREATE_STEPS)('two at once from %s on: the older one ends and touches nothing', (step) =>
    operationStory(async (operations) => {
      const { deps } = operations.world;
      const seen: string[] = [];
      let taken = false;
      operations.around(async (task, run) => {
        if (task.step === step && !taken) {
          taken = true;
          const stored = (await deps.records.get('operation', { operationId: operationId(task.operation_id) }))!;
          const next: OperationRecord = nextRun(stored.value);
          expect((await changeOperation(deps, ADMIN, stored, next, 'TEST')).ok).toBe(true);
          await deps.operations.start(next.type, next.operationId, next.run);
        }
        const answer = await run();
        if (!task.execution_arn?.endsWith('.2') && taken) seen.push(answer.next);
        return answer;
      });
      const id = await create(operations);
      expect(await operations.idle(id)).toMatchObject({ status: 'SUCCEEDED', run: 2 });
      expect(seen).toEqual(['done']);
      await expectTable(operations);
    }),
  );

  test('one that somebody starts out of turn does nothing', () =>
    operationStory(async (operations) => {
      before(operations, 'plan', async (id) => {
        await operations.runner().start('create-table', operationId(id), 7);
      });
      expect(await operations.idle(await create(operations))).toMatchObject({ status: 'SUCCEEDED', run: 1 });
      await expectTable(operations);
    }));
});

describe('requests that do not fit', () => {
  test.each<[keyof typeof controls, string]>([
    ['pauseOperation', 'OPERATION_ENDED'],
    ['resumeOperation', 'OPERATION_ENDED'],
    ['cancelOperation', 'OPERATION_ENDED'],
    ['redriveOperation', 'NOT_FAILED'],
  ])('%s after a good end: %s', (name, code) =>
    operationStory(async (operations) => {
      const id = await create(operations);
      const ended = await operations.idle(id);
      expect(await ask(operations, name, id)).toMatchObject({ ok: false, error: { kind: 'CONFLICT', code } });
      expect(await operations.idle(id)).toEqual(ended);
    }),
  );

  test.each(Object.keys(controls) as (keyof typeof controls)[])('%s of an unknown operation', (name) =>
    operationStory(async (operations) => {
      expect(await ask(operations, name, 'op-none')).toMatchObject({
        ok: false,
        error: { kind: 'NOT_FOUND', code: 'OPERATION_NOT_FOUND' },
      });
    }),
  );

  test('resume of one that runs', () =>
    operationStory(async (operations) => {
      before(operations, 'plan', async (id) => {
        expect(await ask(operations, 'resumeOperation', id)).toMatchObject({
          ok: false,
          error: { code: 'NOT_PAUSED' },
        });
      });
      await operations.idle(await create(operations));
    }));
});

test('an operation is shown with what it waits for, its pace and its execution', () =>
  operationStory(async (operations) => {
    const { world } = operations;
    world.answer(() => ({ outcome: 'QUEUED' }));
    const id = await create(operations);
    await operations.wait(2_000);
    const shown = await world.call('getOperation', getOperation, { params: { operation_id: id } });
    expect(shown).toMatchObject({
      ok: true,
      value: { status: 'RUNNING', control: 'RUN', run: 1, parent_id: null, cancellable: true, eta_seconds: null },
    });
    expect(shown.ok && shown.value.waiting_on).toMatch(/^replicas on node-/);
    world.answer(() => ({ outcome: 'DONE', receipt: null }));
    expect(await operations.idle(id)).toMatchObject({ status: 'SUCCEEDED' });
    const all = await world.call('listOperations', listOperations, { query: { type: 'create-table' } });
    expect(all.ok && all.value.operations.map(({ operation_id }) => operation_id)).toEqual([id]);
  }));
