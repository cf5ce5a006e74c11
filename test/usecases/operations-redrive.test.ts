import {
  create,
  remove,
  asked,
  table,
  shardsOf,
  expectTable,
  expectNothing,
  CREATE_STEPS,
  DELETE_STEPS,
  before,
  SHARDS,
} from '../support/table-operations.ts';
import { operationStory } from '../support/virtual-operations.ts';
import type { Operations } from '../support/virtual-operations.ts';

/** An operation that failed goes on where it stands, or begins anew where nothing is left of it (I-9, I-10). */

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
