import { operationId } from '../../shared/domain/ids.ts';
import { executionName, nextRun, RUN_STEPS_MAX } from '../../shared/domain/operation.ts';
import type { OperationRecord } from '../../shared/domain/records.ts';
import { changeOperation, continueOpen } from '../../shared/usecases/operation-runs.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { reconcileOnce } from '../../shared/usecases/reconcile.ts';
import { create, asked, expectTable, CREATE_STEPS, before } from '../support/table-operations.ts';
import { ADMIN } from '../support/use-case-world.ts';
import { operationStory } from '../support/virtual-operations.ts';

/** Executions that are lost, restarted, used up or doubled: the operation goes on in one of them (ADR 0006). */

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
