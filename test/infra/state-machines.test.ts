import { readFileSync } from 'node:fs';
import { OPERATION_TYPES } from '../../shared/domain/records.ts';
import { BEGIN, FAIL, ROLL_BACK } from '../../shared/domain/operation.ts';
import { machines, stepTags } from '../../shared/runtime/operation-steps.ts';
import { stateMachines } from '../../state-machines/registry.ts';
import { choicesAfter } from '../../state-machines/run-step.ts';
import type { OperationMachine } from '../../state-machines/step.ts';

/** Every ASL file against the steps that it sequences (docs/operations.md). */

interface State {
  readonly Type: string;
  readonly Next?: string;
  readonly Default?: string;
  readonly End?: boolean;
  readonly Choices?: readonly { readonly Variable: string; readonly StringEquals: string; readonly Next: string }[];
  readonly Catch?: readonly { readonly ErrorEquals: readonly string[]; readonly Next: string }[];
  readonly Retry?: readonly { readonly MaxAttempts: number }[];
  readonly Resource?: string;
  readonly Parameters?: { readonly FunctionName: string; readonly Payload: Readonly<Record<string, string>> };
  readonly ResultSelector?: Readonly<Record<string, string>>;
  readonly ResultPath?: string | null;
  readonly TimeoutSeconds?: number;
  readonly SecondsPath?: string;
}
interface Definition {
  readonly StartAt: string;
  readonly TimeoutSeconds: number;
  readonly States: Readonly<Record<string, State>>;
}

const read = (folder: string): Definition =>
  JSON.parse(
    readFileSync(new URL(`../../state-machines/${folder}/${folder}.asl.json`, import.meta.url), 'utf8'),
  ) as Definition;

const successors = (state: State): readonly string[] =>
  [
    state.Next,
    state.Default,
    ...(state.Choices ?? []).map(({ Next }) => Next),
    ...(state.Catch ?? []).map(({ Next }) => Next),
  ].filter((name) => name !== undefined);

test('the registry holds every type of operation once', () => {
  expect(stateMachines.map(({ type }) => type).toSorted()).toEqual([...OPERATION_TYPES].toSorted());
});

describe.each(stateMachines.map(({ type, folder }) => ({ type, definition: read(folder) })))(
  '$type',
  ({ type, definition }) => {
    const machine: OperationMachine = machines[type];
    const states = Object.entries(definition.States);
    const tasks = states.filter(([, state]) => state.Type === 'Task');
    const stepOf = (state: State): string => state.Parameters?.Payload['step'] ?? '';
    const waits = (state: State): boolean => state.Resource?.endsWith('.waitForTaskToken') ?? false;

    test('starts with begin, ends in Paused, Done, Failed, and reaches every state', () => {
      expect(stepOf(definition.States[definition.StartAt]!)).toBe(BEGIN);
      expect(definition.States['Paused']).toEqual({ Type: 'Succeed' });
      expect(definition.States['Done']).toEqual({ Type: 'Succeed' });
      expect(definition.States['Failed']).toMatchObject({ Type: 'Fail', Cause: expect.any(String) as string });
      const reached = new Set([definition.StartAt]);
      for (const name of reached)
        for (const next of successors(definition.States[name]!)) {
          expect(Object.keys(definition.States)).toContain(next);
          reached.add(next);
        }
      expect([...reached].sort()).toEqual(Object.keys(definition.States).sort());
    });

    test('every step has one Task', () => {
      expect(tasks.map(([, state]) => stepOf(state)).toSorted()).toEqual([...stepTags(type)].toSorted());
      expect(Object.keys(machine.steps)).toContain(FAIL);
      expect(Object.keys(machine.answers).filter((step) => !Object.hasOwn(machine.steps, step))).toEqual([]);
    });

    test.each(tasks)('%s has a time limit, retries, a catch, and tells its execution', (_name, state) => {
      expect(state.TimeoutSeconds).toEqual(expect.any(Number));
      expect(state.Retry).toEqual([expect.objectContaining({ MaxAttempts: expect.any(Number) as number })]);
      const end = definition.States[state.Catch?.[0]?.Next ?? ''];
      expect(state.Catch).toEqual([expect.objectContaining({ ErrorEquals: ['States.ALL'] })]);
      // What keeps failing is undone; what can't be undone, or keeps failing while it is undone, ends FAILED with its reason.
      const caughtBy = end?.Type === 'Fail' ? 'the end' : stepOf(end!);
      expect(caughtBy).toBe(
        stepOf(state) === FAIL ? 'the end' : stepOf(state) === ROLL_BACK ? FAIL : caughtBy === FAIL ? FAIL : ROLL_BACK,
      );
      expect(state.Parameters?.FunctionName).toBe('${OperationStepFunction}');
      expect(state.Parameters?.Payload).toMatchObject({
        'operation_id.$': '$.operation_id',
        'execution_arn.$': '$$.Execution.Id',
      });
      // What the undoing and the end tell of the failure comes with the execution's state.
      expect(state.Parameters?.Payload['caught.$']).toBe([ROLL_BACK, FAIL].includes(stepOf(state)) ? '$' : undefined);
      expect(state.Catch?.[0]).toMatchObject({ ResultPath: '$.error' });
      expect(state.Parameters?.Payload['task_token.$']).toBe(waits(state) ? '$$.Task.Token' : undefined);
      expect(state.ResultSelector?.['next.$']).toBe(waits(state) ? '$.next' : '$.Payload.next');
      expect(state.ResultPath).toBe('$.result');
    });

    test.each(tasks.filter(([, state]) => stepOf(state) !== FAIL))(
      '%s: its Choice knows its answers',
      (_name, state) => {
        const choice = definition.States[state.Next ?? ''];
        expect(choice?.Type).toBe('Choice');
        expect(choice?.Default).toBe('Done');
        for (const { Variable } of choice!.Choices!) expect(Variable).toBe('$.result.next');
        expect(choice!.Choices!.map(({ StringEquals }) => StringEquals).toSorted()).toEqual(
          choicesAfter(machine, stepOf(state)),
        );
      },
    );

    test('a tag that names a step leads to it, at most through a wait', () => {
      for (const [, { Choices = [] }] of states)
        for (const { StringEquals: tag, Next } of Choices) {
          const through = definition.States[Next]!;
          const target = through.Type === 'Wait' ? definition.States[through.Next!]! : through;
          if (tag === 'paused') expect(Next).toBe('Paused');
          else if (tag !== 'acknowledged') expect(stepOf(target)).toBe(tag);
        }
    });

    test('a wait takes its seconds from the step before it', () => {
      for (const [name, state] of states.filter(([, { Type }]) => Type === 'Wait')) {
        expect(state.SecondsPath).toBe('$.result.wait_seconds');
        const choices = states.filter(([, { Choices = [] }]) => Choices.some(({ Next }) => Next === name));
        const before = tasks.filter(([, { Next }]) => choices.some(([choice]) => choice === Next));
        expect(before.length).toBeGreaterThan(0);
        for (const [, task] of before)
          expect(task.ResultSelector?.['wait_seconds.$']).toBe(
            waits(task) ? '$.wait_seconds' : '$.Payload.wait_seconds',
          );
      }
    });
  },
);
