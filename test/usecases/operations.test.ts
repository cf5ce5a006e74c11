import { getOperation, listOperations } from '../../shared/usecases/operations.ts';
import { reconcileOnce } from '../../shared/usecases/reconcile.ts';
import {
  create,
  remove,
  controls,
  ask,
  asked,
  expectTable,
  expectNothing,
  CREATE_STEPS,
  DELETE_STEPS,
  before,
  SHARDS,
} from '../support/table-operations.ts';
import { operationStory } from '../support/virtual-operations.ts';

/** Pause, resume and cancel at every boundary of a step (ADR 0006, I-9, I-10). Ends and redrives: operations-redrive.test.ts; executions: operations-executions.test.ts. */

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
