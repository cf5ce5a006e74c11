import { createAslRunner } from '../../local/asl-runner.ts';
import type { AslRunner } from '../../local/asl-runner.ts';
import { loadDefinitions } from '../../local/control-plane.ts';
import { operationId } from '../../shared/domain/ids.ts';
import { ACKNOWLEDGED } from '../../shared/domain/operation.ts';
import type { OperationRecord } from '../../shared/domain/records.ts';
import { operationStepHandler } from '../../shared/runtime/operation-steps.ts';
import { fixedRuntime } from '../../shared/runtime/runtime.ts';
import { settled } from './environment.ts';
import type { UseCaseWorld } from './use-case-world.ts';

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
  const load = async (id: string): Promise<OperationRecord> => {
    const stored = await world.records.get('operation', { operationId: operationId(id) });
    if (stored === null) throw new Error(`no operation ${id}`);
    return stored.value;
  };
  const step = operationStepHandler(fixedRuntime({ deps: world.deps, answers: 'checked' }));
  const runner = createAslRunner({
    definitions: loadDefinitions(),
    random: world.random,
    log: world.log,
    step: (raw) => {
      const task = raw as StepTask;
      return around(task, () => step(task));
    },
  });
  Object.assign(world.deps.operations, {
    start: (type: string, id: OperationRecord['operationId'], run?: number) => runner.start(type, id, run),
    isRunning: (type: string, id: OperationRecord['operationId'], run: number) => runner.isRunning(type, id, run),
    succeedTask: (token: string, output: never) => runner.succeedTask(token, output),
    failTask: (token: string, code: string, message: string) => runner.failTask(token, code, message),
  });
  // A command batch whose nodes all answered completes its token, as the dispatcher does it.
  Object.assign(world.deps.commands, {
    sendForTask: async (drafts: never[], task: { taskToken: string }) => {
      const answers = await world.deps.commands.send(drafts);
      const refused = answers.find((answer) => answer.outcome === 'REFUSED');
      if (refused?.outcome === 'REFUSED') await runner.failTask(task.taskToken, refused.code, refused.message);
      else if (answers.every((answer) => answer.outcome === 'DONE'))
        await runner.succeedTask(task.taskToken, ACKNOWLEDGED);
    },
  });
  return {
    runner,
    ended: async (id) => {
      while (runner.running().some((name) => name === id || name.startsWith(`${id}.`))) await settled();
      return load(id);
    },
    stop: () => runner.stop(),
  };
}
