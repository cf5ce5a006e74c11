import { StepThrew, stepFailure } from '../../state-machines/step-failure.ts';
import { StoreError } from '../../shared/ports.ts';
import type { OperationRecord } from '../../shared/domain/records.ts';
import { getOperation } from '../../shared/usecases/operations.ts';
import { createTable } from '../../shared/usecases/tables.ts';
import { asked, create, remove } from '../support/table-operations.ts';
import { operationStory } from '../support/virtual-operations.ts';
import type { Operations } from '../support/virtual-operations.ts';

/** What an operation that ended FAILED tells: the step that kept failing, and why, through the real ASL files. */

/** From now on the store takes nothing from these steps, and says `reason`. */
const failing = (operations: Operations, reason: string, ...steps: string[]): void => {
  const { records } = operations.world;
  const commit = records.commit.bind(records);
  operations.around(async (task, run) => {
    if (!steps.includes(task.step)) return run();
    Object.assign(records, { commit: () => Promise.reject(new StoreError('THROTTLED', reason)) });
    try {
      return await run();
    } finally {
      Object.assign(records, { commit });
    }
  });
};

test.each(['plan', 'build-directory', 'create-replicas', 'start-leaders', 'activate'])(
  'create-table that keeps failing at %s names the step and the reason',
  (step) =>
    operationStory(async (operations) => {
      failing(operations, 'too many writes', step);
      const id = await create(operations);
      const ended = await operations.idle(id);
      expect(ended).toMatchObject({
        status: 'FAILED',
        outcome: 'ROLLED_BACK',
        error: {
          code: 'STEP_FAILED',
          step,
          message: `Step ${step} kept failing: StoreError: too many writes. Nothing is left of the table: redrive the operation, or create the table again.`,
        },
      });
      expect(ended.steps.find(({ name }) => name === 'undo')?.detail).toBe(
        `Step ${step} kept failing: StoreError: too many writes.`,
      );
      const shown = await operations.world.call('getOperation', getOperation, { params: { operation_id: id } });
      expect(shown).toMatchObject({ ok: true, value: { error: { step } } });
      operations.around((_task, run) => run());
      await asked(operations, 'redriveOperation', id);
      expect(await operations.idle(id)).toMatchObject({ status: 'SUCCEEDED', error: null });
    }),
);

test('an undoing that keeps failing is named, and what it was for', () =>
  operationStory(async (operations) => {
    failing(operations, 'no', 'start-leaders', 'roll-back');
    const ended = await operations.idle(await create(operations));
    expect(ended).toMatchObject({
      status: 'FAILED',
      outcome: null,
      error: { code: 'ROLL_BACK_FAILED', step: 'roll-back' },
    });
    expect(ended.error?.message).toMatch(/^Step roll-back kept failing: StoreError: no\. /);
  }));

test('the first step is named too, and one that nothing undoes', () =>
  operationStory(async (operations) => {
    await operations.idle(await create(operations));
    failing(operations, 'late', 'remove-shards');
    expect(await operations.idle(await remove(operations))).toMatchObject({
      status: 'FAILED',
      outcome: null,
      error: { code: 'STEP_FAILED', step: 'remove-shards' },
    });
    failing(operations, 'late', 'begin');
    const answer = await operations.world.call('createTable', createTable, { body: { table: 'second' } });
    if (!answer.ok) throw new Error(answer.error.message);
    expect(await operations.idle(answer.value.operation_id)).toMatchObject({
      status: 'FAILED',
      error: { step: 'begin' },
    });
  }));

describe('what a state machine caught', () => {
  const machine = { steps: { copy: 1, finish: 1, 'roll-back': 1 }, resume: () => 'finish' };
  const operation = { undoing: false } as OperationRecord;
  const of = (error: object, next = 'copy') =>
    stepFailure({ operation_id: 'op-1', result: { next }, error: { ...error } }, operation, machine);
  const lambda = (error: Error) => ({
    Error: error.name,
    Cause: JSON.stringify({ errorType: error.name, errorMessage: error.message, trace: [error.stack] }),
  });

  test.each<[string, object, string, string]>([
    ['an error in Lambda', lambda(new StepThrew('finish', new Error('disk: full'))), 'finish', 'disk: full'],
    ['a named one', lambda(new StepThrew('roll-back', new RangeError('x'))), 'roll-back', 'RangeError: x'],
    ['an error on one machine', { Error: 'StepThrew', Cause: 'finish: two\nlines' }, 'finish', 'two\nlines'],
    ['a timeout', { Error: 'States.Timeout', Cause: '' }, 'copy', 'it did not end in time (States.Timeout)'],
    ['a refused command', { Error: 'REPLICA_UNKNOWN', Cause: 'gone (R4)' }, 'copy', 'REPLICA_UNKNOWN: gone (R4)'],
    ['nothing but a name', { Error: 'Lambda.Unknown' }, 'copy', 'Lambda.Unknown'],
  ])('%s', (_what, error, step, reason) => {
    expect(of(error)).toEqual({ step, reason });
  });

  test('a timeout after a wait for nodes, and of the first step', () => {
    const error = { Error: 'States.Timeout' };
    expect(of(error, 'acknowledged')?.step).toBe('finish');
    expect(stepFailure({ operation_id: 'op-1', error }, operation, machine)?.step).toBe('begin');
  });

  test('nothing was caught, or something of another form', () => {
    for (const caught of [null, 'x', {}, { result: { next: 'copy' } }, { error: 'x' }])
      expect(stepFailure(caught, operation, machine)).toBeNull();
  });

  test('a long reason is cut', () => {
    expect(of({ Error: 'Error', Cause: 'x'.repeat(10_000) })?.reason.length).toBeLessThan(600);
  });
});
