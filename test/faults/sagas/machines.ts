import { readFileSync } from 'node:fs';
import { stateMachines } from '../../../state-machines/registry.ts';

/** State machines as the enumeration sees them: read from the registry and the ASL files, so that a new one is covered by being there. */

export interface TaskState {
  readonly name: string;
  /** Tag of the step that it invokes. */
  readonly step: string;
  /** Invocations that fail before its Catch is taken: the first one and its retries. */
  readonly attempts: number;
  /** Where it leads, past its Choice: names of states; a Wait counts, and so does what follows it. */
  readonly leadsTo: readonly { readonly over: readonly string[]; readonly to: string }[];
}

export interface Machine {
  readonly type: string;
  readonly tasks: readonly TaskState[];
  /** Name and type of every state. */
  readonly states: ReadonlyMap<string, string>;
}

interface AslState {
  readonly Type: string;
  readonly Next?: string;
  readonly Default?: string;
  readonly Choices?: readonly { readonly Next: string }[];
  readonly Parameters?: { readonly Payload?: { readonly step?: string } };
  readonly Retry?: readonly { readonly MaxAttempts?: number }[];
}

/** States of the machine that undoes, and of the one that gives the undoing up (docs/operations.md). */
export const UNDO_STATE = 'RollBack';
export const FAIL_STATE = 'Fail';

export const machines: readonly Machine[] = stateMachines.map(({ type, folder }) => {
  const file = new URL(`../../../state-machines/${folder}/${folder}.asl.json`, import.meta.url);
  const { States } = JSON.parse(readFileSync(file, 'utf8')) as { States: Readonly<Record<string, AslState>> };
  return {
    type,
    states: new Map(Object.entries(States).map(([name, state]) => [name, state.Type])),
    tasks: Object.entries(States).flatMap(([name, state]): TaskState[] => {
      const step = state.Parameters?.Payload?.step;
      if (state.Type !== 'Task' || step === undefined) return [];
      const attempts = 1 + (state.Retry?.[0]?.MaxAttempts ?? 0);
      return [{ name, step, attempts, leadsTo: waysFrom(States, state.Next) }];
    }),
  };
});

/** Every way from a state to the next Task or to an end, with what lies between. */
function waysFrom(states: Readonly<Record<string, AslState>>, first: string | undefined): TaskState['leadsTo'] {
  const state = first === undefined ? undefined : states[first];
  if (first === undefined || state === undefined) return [];
  if (state.Type !== 'Choice' && state.Type !== 'Wait') return [{ over: [], to: first }];
  const targets =
    state.Type === 'Wait' ? [state.Next] : [...(state.Choices ?? []).map(({ Next }) => Next), state.Default];
  return targets.flatMap((target) => waysFrom(states, target).map(({ over, to }) => ({ over: [first, ...over], to })));
}

export function machineOf(type: string): Machine {
  const found = machines.find((machine) => machine.type === type);
  if (found === undefined) throw new Error(`no state machine ${type}`);
  return found;
}
