import { readFileSync } from 'node:fs';
import { createAslRunner } from '../../local/asl-runner.ts';
import type { AslRunner } from '../../local/asl-runner.ts';
import { operationId } from '../../shared/domain/ids.ts';
import type { OperationRecord } from '../../shared/domain/records.ts';
import { steps as createTableSteps } from '../../state-machines/create-table/steps.ts';
import { steps as deleteTableSteps } from '../../state-machines/delete-table/steps.ts';
import { stateMachines } from '../../state-machines/registry.ts';
import { settled } from './environment.ts';
import type { UseCaseWorld } from './use-case-world.ts';

const stepsByType = { 'create-table': createTableSteps, 'delete-table': deleteTableSteps };

export interface StepTask {
  readonly operation_id: string;
  readonly step: string;
  readonly task_token?: string;
  readonly execution_arn?: string;
}

/** Runs the operations of a use-case world by their real ASL files. `around` may repeat or fail a step. */
export function operationsOf(
  world: UseCaseWorld,
  around: (task: StepTask, run: () => Promise<{ next: string }>) => Promise<{ next: string }> = (_task, run) => run(),
): { runner: AslRunner; ended(id: string): Promise<OperationRecord>; stop(): Promise<void> } {
  const definitions = new Map<string, unknown>(
    stateMachines.map(({ type, folder }) => [
      type,
      JSON.parse(readFileSync(new URL(`../../state-machines/${folder}/${folder}.asl.json`, import.meta.url), 'utf8')),
    ]),
  );
  const load = async (id: string): Promise<OperationRecord> => {
    const stored = await world.records.get('operation', { operationId: operationId(id) });
    if (stored === null) throw new Error(`no operation ${id}`);
    return stored.value;
  };
  const runner = createAslRunner({
    definitions,
    random: world.random,
    log: world.log,
    step: async (raw) => {
      const task = raw as StepTask;
      const { type } = await load(task.operation_id);
      const step = stepsByType[type][task.step];
      if (step === undefined) throw new Error(`no step ${task.step}`);
      return around(task, () =>
        step(world.deps, {
          operationId: operationId(task.operation_id),
          step: task.step,
          taskToken: task.task_token ?? null,
          executionArn: task.execution_arn ?? null,
        }),
      );
    },
  });
  Object.assign(world.deps.operations, {
    start: (type: string, id: OperationRecord['operationId']) => runner.start(type, id),
    succeedTask: (token: string, output: never) => runner.succeedTask(token, output),
    failTask: (token: string, code: string, message: string) => runner.failTask(token, code, message),
  });
  // A command batch whose nodes all answered completes its token, as the dispatcher does it.
  Object.assign(world.deps.commands, {
    sendForTask: async (drafts: never[], task: { taskToken: string }) => {
      const answers = await world.deps.commands.send(drafts);
      const refused = answers.find((answer) => answer.outcome === 'REFUSED');
      if (refused?.outcome === 'REFUSED') await runner.failTask(task.taskToken, refused.code, refused.message);
      else if (answers.every((answer) => answer.outcome === 'DONE')) await runner.succeedTask(task.taskToken, {});
    },
  });
  return {
    runner,
    ended: async (id) => {
      while (runner.running().includes(id)) await settled();
      return load(id);
    },
    stop: () => runner.stop(),
  };
}
