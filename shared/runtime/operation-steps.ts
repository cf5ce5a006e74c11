import * as z from 'zod';
import { jsonSchema } from '../contracts/primitives.ts';
import { operationId } from '../domain/ids.ts';
import type { OperationType } from '../domain/records.ts';
import { BEGIN } from '../domain/operation.ts';
import { Bug } from '../domain/result.ts';
import * as createTable from '../../state-machines/create-table/steps.ts';
import * as deleteTable from '../../state-machines/delete-table/steps.ts';
import * as mergeShards from '../../state-machines/merge-shards/steps.ts';
import * as moveReplica from '../../state-machines/move-replica/steps.ts';
import * as splitShard from '../../state-machines/split-shard/steps.ts';
import * as changeReplicationFactor from '../../state-machines/change-replication-factor/steps.ts';
import * as drainNode from '../../state-machines/drain-node/steps.ts';
import * as rebalance from '../../state-machines/rebalance/steps.ts';
import * as repairShards from '../../state-machines/repair-shards/steps.ts';
import { runStep } from '../../state-machines/run-step.ts';
import { wireAnswer } from '../../state-machines/step.ts';
import { StepThrew } from '../../state-machines/step-failure.ts';
import type { RuntimeSource } from './runtime.ts';

/** The map from operation type to its machine, and the handler behind every Task of every state machine. */

export const machines = {
  'create-table': createTable.machine,
  'delete-table': deleteTable.machine,
  'move-replica': moveReplica.machine,
  'split-shard': splitShard.machine,
  'merge-shards': mergeShards.machine,
  rebalance: rebalance.machine,
  'drain-node': drainNode.machine,
  'repair-shards': repairShards.machine,
  'change-replication-factor': changeReplicationFactor.machine,
} satisfies Readonly<Record<OperationType, unknown>>;

const taskSchema = z.strictObject({
  operation_id: z.string().min(1),
  step: z.string().min(1),
  task_token: z.string().min(1).optional(),
  execution_arn: z.string().min(1).optional(),
  /** Of the steps that follow a failure: the execution's state, whatever it holds. */
  caught: jsonSchema.optional(),
});
export type TaskInput = z.input<typeof taskSchema>;
export type OperationStepHandler = (task: unknown) => Promise<{ next: string; wait_seconds: number }>;

/** Names of the steps of one operation type, for the test that ASL files name no other. */
export const stepTags = (type: OperationType): readonly string[] => [BEGIN, ...Object.keys(machines[type].steps)];

/** Runs one step. Throws when the step does: the state machine retries or catches, TypeScript does not. */
export function operationStepHandler(source: RuntimeSource): OperationStepHandler {
  return async (task) => {
    const { deps } = await source();
    const { operation_id, step, task_token, execution_arn, caught = null } = taskSchema.parse(task);
    const id = operationId(operation_id);
    const stored = await deps.records.get('operation', { operationId: id });
    if (stored === null) throw new Bug(`operation ${operation_id} does not exist`);
    const startedMs = deps.clock.monotonicMs();
    const about = { operation_id, type: stored.value.type, step };
    const durationMs = (): number => Math.round(deps.clock.monotonicMs() - startedMs);
    try {
      const input = { operationId: id, step, taskToken: task_token ?? null, executionArn: execution_arn ?? null };
      const answer = await runStep(deps, machines[stored.value.type], input, caught);
      deps.log.info('operation-step', { ...about, next: answer.next, duration_ms: durationMs() });
      return wireAnswer(answer);
    } catch (error) {
      // The state machine repeats the step, so its history alone would name the reason, and the runner on one machine keeps none.
      deps.log.warn('operation-step-failed', { ...about, error, duration_ms: durationMs() });
      throw new StepThrew(step, error);
    }
  };
}
