import { BEGIN, beforeStep, FAIL, ROLL_BACK } from '../shared/domain/operation.ts';
import type { BeforeStep } from '../shared/domain/operation.ts';
import type { Json } from '../shared/domain/records.ts';
import { assertNever, Bug } from '../shared/domain/result.ts';
import type { Deps, Stored } from '../shared/ports.ts';
import { startExecution } from '../shared/usecases/start-operation.ts';
import { stepFailure } from './step-failure.ts';
import { DONE, endWait, executionOf, failedOf, loadOperation, saveOperation } from './step.ts';
import type { OperationMachine, StepFunction, StepInput, StepResult } from './step.ts';

/**
 * One step of a machine, with what holds at every boundary (ADR 0006): an operation that has ended, was taken over by a later
 * execution, is to be paused or cancelled, or has used up its execution's share of events does not run the step. `caught`: the state of
 * the execution, of the steps that follow a failure.
 */
export async function runStep(
  deps: Deps,
  machine: OperationMachine,
  task: StepInput,
  caught: Json = null,
): Promise<StepResult> {
  const stored = await loadOperation(deps, task.operationId);
  const input = { ...task, failure: stepFailure(caught, stored.value, machine) };
  const before = beforeStep(stored.value, input.step, executionOf(input.executionArn), deps.clock.wallMs());
  const instead = await obey(deps, machine, stored, before, input);
  if (instead !== null) return endWait(deps, input, instead);
  if (input.step === BEGIN) return begin(deps, machine, input);
  // Another invocation of the step before noted the cancel, and its answer was for nobody.
  if (stored.value.undoing && !undoingSteps(machine).has(input.step)) return endWait(deps, input, { next: ROLL_BACK });
  const answer = await stepOf(machine, stored.value.type, input.step)(deps, input);
  check(machine, stored.value.type, input.step, answer);
  return answer;
}

/** What happens in place of the step; null: the step runs. */
async function obey(
  deps: Deps,
  machine: OperationMachine,
  stored: Stored<'operation'>,
  before: BeforeStep,
  input: StepInput,
): Promise<StepResult | null> {
  switch (before.kind) {
    case 'RUN':
      return null;
    case 'ENDED':
    case 'SUPERSEDED':
      return DONE;
    case 'PAUSED':
      return { next: 'paused' };
    case 'PAUSE':
      await machine.pause?.(deps, stored.value);
      await saveOperation(deps, stored, before.next, { name: 'pause', detail: `before ${input.step}` });
      return { next: 'paused' };
    case 'UNDO':
      await saveOperation(deps, stored, before.next, { name: 'cancel', detail: `before ${input.step}` });
      return { next: ROLL_BACK };
    case 'RUN_UNDOING': {
      const error = before.next.error ?? failedOf(input);
      const detail = error === null ? 'STEP_FAILED' : error.step === undefined ? error.code : error.message;
      await saveOperation(deps, stored, { ...before.next, error }, { name: 'undo', detail });
      return null;
    }
    case 'CONTINUE': {
      const saved = await saveOperation(deps, stored, before.next, {
        name: 'continue',
        detail: `in execution ${before.next.run}`,
      });
      await startExecution(deps, saved.value);
      return { next: 'continue' };
    }
    default:
      return assertNever(before);
  }
}

/** The first step of every execution: notes it in the record, and names the step to go on with. */
async function begin(deps: Deps, machine: OperationMachine, input: StepInput): Promise<StepResult> {
  const stored = await loadOperation(deps, input.operationId);
  const { value } = await saveOperation(
    deps,
    stored,
    {
      status: 'RUNNING',
      executionArn: input.executionArn ?? stored.value.executionArn,
      runSteps: 0,
      runStartedAtMs: deps.clock.wallMs(),
      waitingOn: null,
    },
    { name: BEGIN, detail: `execution ${stored.value.run}` },
  );
  return { next: value.undoing ? ROLL_BACK : machine.resume(value) };
}

/** Steps that run while the operation is being undone: what `roll-back` leads to, and the end of what can't be undone. */
function undoingSteps(machine: OperationMachine): ReadonlySet<string> {
  const steps = new Set([ROLL_BACK, FAIL]);
  for (const step of steps) for (const next of machine.answers[step] ?? []) steps.add(next);
  return steps;
}

function stepOf(machine: OperationMachine, type: string, tag: string): StepFunction {
  const step = Object.hasOwn(machine.steps, tag) ? machine.steps[tag] : undefined;
  if (step === undefined) throw new Bug(`operation type ${type} has no step ${tag}`);
  return step;
}

/** A tag that the ASL file does not know would end the execution in silence. */
function check(machine: OperationMachine, type: string, tag: string, { next, wait_seconds }: StepResult): void {
  const known = [...(machine.answers[tag] ?? []), DONE.next, ROLL_BACK];
  // What a waiting step returns is not what its Choice sees; its token carries the tag.
  if (!known.includes(next)) throw new Bug(`step ${tag} of ${type} answered ${next}, which it does not declare`);
  if (wait_seconds !== undefined && wait_seconds < 1) throw new Bug(`step ${tag} of ${type} polls without a pause`);
}

/** Tags that the Choice after a step has to know: what the step declares, and what the runtime answers in its place. */
export function choicesAfter(machine: OperationMachine, step: string): readonly string[] {
  const undoes = Object.hasOwn(machine.steps, ROLL_BACK);
  const own = step === BEGIN ? Object.keys(machine.steps).filter((tag) => tag !== FAIL) : (machine.answers[step] ?? []);
  const tags = new Set([...own, 'paused', ...(undoes && step !== FAIL ? [ROLL_BACK] : [])]);
  tags.delete(DONE.next);
  return [...tags].sort();
}
