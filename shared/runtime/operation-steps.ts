import * as z from 'zod';
import { operationId } from '../domain/ids.ts';
import type { OperationType } from '../domain/records.ts';
import { Bug } from '../domain/result.ts';
import * as createTable from '../../state-machines/create-table/steps.ts';
import * as deleteTable from '../../state-machines/delete-table/steps.ts';
import type { RuntimeSource } from './runtime.ts';

/** The map from step tag to step function, and the handler behind every Task of every state machine. */

const stepsByType = {
  'create-table': createTable.steps,
  'delete-table': deleteTable.steps,
} satisfies Readonly<Record<OperationType, unknown>>;

type StepFunction = (typeof stepsByType)[OperationType][string];

const taskSchema = z.strictObject({
  operation_id: z.string().min(1),
  step: z.string().min(1),
  task_token: z.string().min(1).optional(),
  execution_arn: z.string().min(1).optional(),
});
export type TaskInput = z.input<typeof taskSchema>;
export type OperationStepHandler = (task: unknown) => Promise<{ next: string }>;

/** Names of the steps of one operation type, for the test that ASL files name no other. */
export const stepTags = (type: OperationType): readonly string[] => Object.keys(stepsByType[type]);

/** Runs one step. Throws when the step does: the state machine retries or catches, TypeScript does not. */
export function operationStepHandler(source: RuntimeSource): OperationStepHandler {
  return async (task) => {
    const { deps } = await source();
    const { operation_id, step, task_token, execution_arn } = taskSchema.parse(task);
    const id = operationId(operation_id);
    const stored = await deps.records.get('operation', { operationId: id });
    if (stored === null) throw new Bug(`operation ${operation_id} does not exist`);
    const run = stepOf(stored.value.type, step);
    const startedMs = deps.clock.monotonicMs();
    const answer = await run(deps, {
      operationId: id,
      step,
      taskToken: task_token ?? null,
      executionArn: execution_arn ?? null,
    });
    deps.log.info('operation-step', {
      operation_id,
      type: stored.value.type,
      step,
      next: answer.next,
      duration_ms: Math.round(deps.clock.monotonicMs() - startedMs),
    });
    return answer;
  };
}

function stepOf(type: OperationType, tag: string): StepFunction {
  const steps: Readonly<Record<string, StepFunction>> = stepsByType[type];
  const step = Object.hasOwn(steps, tag) ? steps[tag] : undefined;
  if (step === undefined) throw new Bug(`operation type ${type} has no step ${tag}`);
  return step;
}
