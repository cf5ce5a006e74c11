import { furtherWays, operations, waves } from '../scenarios.ts';
import type { Saga } from '../scenario-kit.ts';
import type { Fault, FaultKind } from './faults.ts';
import { FAIL_STATE, machines, UNDO_STATE } from './machines.ts';
import type { Machine } from './machines.ts';
import type { SagaRun } from './run.ts';

/** Which cases there are: from the registry, the ASL files, and one undisturbed run of each scenario. */

export interface Way {
  readonly name: string;
  readonly machine: Machine;
  readonly saga: Saga;
}

/** Every scenario of every state machine of the registry; a machine without one is an error. */
export function everyWay(): readonly Way[] {
  const first = { ...operations, ...waves };
  return machines.flatMap((machine) => {
    const saga = first[machine.type];
    if (saga === undefined) throw new Error(`${machine.type} has no scenario: add one to test/faults/scenarios.ts`);
    return [saga, ...(furtherWays[machine.type] ?? [])].map((one, index) => ({
      name: index === 0 ? machine.type : `${machine.type}/${index + 1}`,
      machine,
      saga: one,
    }));
  });
}

/** Kinds that need no number of an effect. */
const PLAIN: readonly FaultKind[] = [
  'fails-before',
  'fails-after',
  'repeated',
  'repeated-after',
  'late',
  'late-after-end',
  'execution-lost',
  'nodes-silent',
  'paused',
  'cancelled',
  'cancelled-beside',
  'fails-for-long',
  'redriven',
];
/** What can go wrong with the undoing itself: once, and for long. */
const OF_UNDO: readonly FaultKind[] = [
  'fails-before',
  'fails-after',
  'repeated',
  'repeated-after',
  'late-after-end',
  'execution-lost',
  'nodes-silent',
  'paused',
  'cancelled',
  'fails-for-long',
];
/** What makes an operation undo. */
const TURNS: readonly FaultKind[] = ['fails-for-long', 'cancelled'];

/** The first visit of each Task state of the undisturbed run. */
function firstVisits(undisturbed: SagaRun): readonly { state: string; effects: number }[] {
  const first = new Map<string, { state: string; effects: number }>();
  for (const visit of undisturbed.visits) if (!first.has(visit.state)) first.set(visit.state, visit);
  return [...first.values()];
}

/** Every fault at every Task state that the way passes. */
export function faultsOf(undisturbed: SagaRun): readonly Fault[] {
  return firstVisits(undisturbed).flatMap(({ state, effects }): Fault[] => [
    ...PLAIN.map((kind): Fault => ({ state, kind })),
    ...Array.from({ length: effects + 1 }, (_, effect): Fault => ({ state, kind: 'crashed', effect })),
    ...Array.from({ length: effects }, (_, index) =>
      (['frozen', 'frozen-past-end'] as const).map((kind): Fault => ({ state, kind, effect: index + 1 })),
    ).flat(),
  ]);
}

/**
 * Cases of one fault, and those in which the undoing goes wrong too: turned round at every state by a failure and by a cancel, the step that
 * undoes meets every fault, and so does the one that gives the undoing up.
 */
export function singlesOf(undisturbed: SagaRun): readonly (readonly Fault[])[] {
  const turns = firstVisits(undisturbed).flatMap(({ state }) => TURNS.map((kind): Fault => ({ state, kind })));
  const undo = OF_UNDO.map((kind): Fault => ({ state: UNDO_STATE, kind }));
  const crashes = [0, 1, 2, 3].map((effect): Fault => ({ state: UNDO_STATE, kind: 'crashed', effect }));
  const frozen = [1, 2].map((effect): Fault => ({ state: UNDO_STATE, kind: 'frozen', effect }));
  const givenUp = turns
    .slice(0, 2)
    .flatMap((turn) =>
      (['fails-before', 'fails-after', 'repeated', 'fails-for-long'] as const).map((kind) => [
        turn,
        { state: UNDO_STATE, kind: 'fails-for-long' } as const,
        { state: FAIL_STATE, kind } as const,
      ]),
    );
  return [
    ...faultsOf(undisturbed).map((fault) => [fault]),
    ...turns.flatMap((turn) => [...undo, ...crashes, ...frozen].map((fault) => [turn, fault])),
    ...givenUp,
  ];
}

/** All pairs of faults at the states of a way; of crashes and freezes those at the first and the last effect. Both faults at one state: one after the other. */
export function pairsOf(undisturbed: SagaRun): readonly (readonly Fault[])[] {
  const last = new Map(firstVisits(undisturbed).map(({ state, effects }) => [state, effects]));
  const faults = faultsOf(undisturbed).filter(
    ({ state, kind, effect }) =>
      effect === undefined || effect === last.get(state) || effect === (kind === 'crashed' ? 0 : 1),
  );
  return faults.flatMap((left, index) => faults.slice(index).map((right) => [left, right]));
}
