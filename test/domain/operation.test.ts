import { operationId } from '../../shared/domain/ids.ts';
import { checkOperationTransition } from '../../shared/domain/operation-invariants.ts';
import {
  beforeStep,
  childOperationId,
  decideCancel,
  decidePause,
  PAUSE_MS_DEFAULT,
  pauseEndMs,
  decideRedrive,
  decideResume,
  etaSeconds,
  executionName,
  mayFollow,
  partsOf,
  RUN_AGE_MS_MAX,
  RUN_STEPS_MAX,
} from '../../shared/domain/operation.ts';
import type { Controlled, ControlRefusal } from '../../shared/domain/operation.ts';
import type { OperationRecord, OperationStatus } from '../../shared/domain/records.ts';
import type { Result } from '../../shared/domain/result.ts';

const ID = operationId('op-0000000aa-0123456789ab');
const operation = (patch: Partial<OperationRecord> = {}): OperationRecord => ({
  operationId: ID,
  type: 'create-table',
  status: 'RUNNING',
  outcome: null,
  progress: { done: 0, total: 4, unit: 'shards' },
  control: 'RUN',
  run: 1,
  runSteps: 3,
  runStartedAtMs: 1_000,
  cancellable: true,
  undoing: false,
  parentId: null,
  plan: null,
  waitingOn: null,
  input: {},
  state: { phase: 'copying' },
  steps: [],
  createdBy: 'admin:test',
  createdAtMs: 1_000,
  updatedAtMs: 1_000,
  executionArn: 'arn',
  error: null,
  ...patch,
});
const failed = { status: 'FAILED', error: { code: 'X', message: 'x' } } as const;
const paused = { status: 'PAUSED', control: 'PAUSE' } as const;

/** What a request comes to, in short: a refusal's code, or `unchanged`, or the fields that matter. */
const told = (decided: Result<Controlled, ControlRefusal>): string => {
  if (!decided.ok) return decided.error.code;
  const { next, start } = decided.value;
  if (next === null) return 'unchanged';
  return `${next.status} ${next.control} run ${next.run}${start ? ', start' : ''}`;
};

const NOW_MS = 50_000;
const pause = (operation: OperationRecord, untilMs: number | null = null) => decidePause(operation, untilMs, NOW_MS);
const decisions = { pause, resume: decideResume, cancel: decideCancel, redrive: decideRedrive };

test.each<[keyof typeof decisions, string, Partial<OperationRecord>, string]>([
  ['pause', 'running', {}, 'RUNNING PAUSE run 1'],
  ['pause', 'pending', { status: 'PENDING' }, 'PENDING PAUSE run 1'],
  ['pause', 'asked already', { control: 'PAUSE' }, 'unchanged'],
  ['pause', 'paused', paused, 'unchanged'],
  ['pause', 'being cancelled', { control: 'CANCEL' }, 'NOT_CANCELLABLE'],
  ['pause', 'undoing after a cancel', { control: 'CANCEL', undoing: true }, 'RUNNING PAUSE run 1'],
  ['pause', 'ended', { status: 'SUCCEEDED' }, 'OPERATION_ENDED'],
  ['resume', 'paused', paused, 'RUNNING RUN run 2, start'],
  ['resume', 'only asked to pause', { control: 'PAUSE' }, 'RUNNING RUN run 1'],
  ['resume', 'running', {}, 'NOT_PAUSED'],
  ['resume', 'being cancelled', { control: 'CANCEL' }, 'NOT_PAUSED'],
  ['resume', 'ended', failed, 'OPERATION_ENDED'],
  ['cancel', 'running', {}, 'RUNNING CANCEL run 1'],
  ['cancel', 'paused', paused, 'RUNNING CANCEL run 2, start'],
  ['cancel', 'asked already', { control: 'CANCEL' }, 'unchanged'],
  ['cancel', 'cancelled', { status: 'CANCELLED' }, 'unchanged'],
  ['cancel', 'past its point of no return', { cancellable: false }, 'NOT_CANCELLABLE'],
  ['cancel', 'paused past it', { ...paused, cancellable: false }, 'NOT_CANCELLABLE'],
  ['cancel', 'succeeded', { status: 'SUCCEEDED' }, 'OPERATION_ENDED'],
  ['redrive', 'failed', failed, 'RUNNING RUN run 2, start'],
  ['redrive', 'failed after a cancel', { ...failed, control: 'CANCEL' }, 'RUNNING RUN run 2, start'],
  ['redrive', 'running', {}, 'NOT_FAILED'],
  ['redrive', 'cancelled', { status: 'CANCELLED' }, 'NOT_FAILED'],
  ['redrive', 'succeeded', { status: 'SUCCEEDED' }, 'NOT_FAILED'],
])('%s of one that is %s', (request, _what, patch, wanted) => {
  const before = operation(patch);
  const decided = decisions[request](before);
  expect(told(decided)).toBe(wanted);
  if (decided.ok && decided.value.next !== null)
    expect(checkOperationTransition(before, decided.value.next)).toEqual([]);
});

test('a pause ends after a day, or when it is said; saying it again moves the end, and leaving it out does not', () => {
  const first = pause(operation({}));
  expect(first).toMatchObject({ ok: true, value: { next: { pausedUntilMs: NOW_MS + PAUSE_MS_DEFAULT } } });
  const later = pause(operation({ ...paused, pausedUntilMs: 60_000 }), 90_000);
  expect(later).toMatchObject({ ok: true, value: { next: { status: 'PAUSED', pausedUntilMs: 90_000 }, start: false } });
  expect(pause(operation({ ...paused, pausedUntilMs: 60_000 }))).toMatchObject({ ok: true, value: { next: null } });
  for (const decide of [decideResume, decideCancel])
    expect(decide(operation({ ...paused, pausedUntilMs: 60_000 }))).toMatchObject({
      ok: true,
      value: { next: { pausedUntilMs: null } },
    });
  // Of an earlier release: the record does not say.
  expect(pauseEndMs(operation({ ...paused, updatedAtMs: 7 }))).toBe(7 + PAUSE_MS_DEFAULT);
});

test.each<[string, Partial<OperationRecord>, Partial<OperationRecord>]>([
  ['rolled back: anew', { outcome: 'ROLLED_BACK', undoing: true, cancellable: false }, { state: {}, undoing: false }],
  ['undoing failed: goes on undoing', { undoing: true }, { state: { phase: 'copying' }, undoing: true }],
  ['a step failed: goes on with it', {}, { state: { phase: 'copying' }, undoing: false }],
])('redrive of what was %s', (_what, patch, wanted) => {
  const decided = decideRedrive(operation({ ...failed, ...patch }));
  expect(decided).toMatchObject({ ok: true, value: { next: { error: null, outcome: null, runSteps: 0, ...wanted } } });
});

test.each<[string, string, Partial<OperationRecord>, string | null, string]>([
  ['runs', 'copy', {}, ID, 'RUN'],
  ['runs when called by hand', 'copy', {}, null, 'RUN'],
  ['has ended', 'copy', { status: 'SUCCEEDED' }, ID, 'ENDED'],
  ['has a later execution', 'copy', { run: 2 }, ID, 'SUPERSEDED'],
  ['is in its later execution', 'copy', { run: 2 }, `${ID}.2`, 'RUN'],
  ['is paused', 'copy', paused, ID, 'PAUSED'],
  ['is to be paused', 'copy', { control: 'PAUSE' }, ID, 'PAUSE'],
  ['is to be paused, before its first step', 'begin', { control: 'PAUSE' }, ID, 'PAUSE'],
  ['is to be cancelled', 'copy', { control: 'CANCEL' }, ID, 'UNDO'],
  ['is undoing already', 'roll-back', { control: 'CANCEL', undoing: true }, ID, 'RUN'],
  ['begins to undo', 'roll-back', {}, ID, 'RUN_UNDOING'],
  ['begins to undo and is to be paused', 'roll-back', { control: 'PAUSE' }, ID, 'PAUSE'],
  ['fails, whatever was asked', 'fail', { control: 'PAUSE' }, ID, 'RUN'],
  ['fails before a step saw that it was cancelled', 'fail', { control: 'CANCEL' }, ID, 'CONTINUE'],
  ['fails while it is undone after a cancel', 'fail', { control: 'CANCEL', undoing: true }, ID, 'RUN'],
  ['has saved its share of steps', 'copy', { runSteps: RUN_STEPS_MAX }, ID, 'CONTINUE'],
  ['begins anew however old', 'begin', { runSteps: RUN_STEPS_MAX }, ID, 'RUN'],
])('an operation that %s, before %s', (_what, step, patch, execution, kind) => {
  const before = operation(patch);
  const decided = beforeStep(before, step, execution, 5_000);
  expect(decided.kind).toBe(kind);
  if ('next' in decided) expect(checkOperationTransition(before, decided.next)).toEqual([]);
});

test('an execution ends by its age', () => {
  const started = operation({ runStartedAtMs: 1_000 });
  expect(beforeStep(started, 'copy', ID, 1_000 + RUN_AGE_MS_MAX - 1).kind).toBe('RUN');
  expect(beforeStep(started, 'copy', ID, 1_000 + RUN_AGE_MS_MAX)).toMatchObject({
    kind: 'CONTINUE',
    next: { run: 2, runSteps: 0 },
  });
});

test('a cancel that no step came to see is obeyed in another execution', () => {
  expect(beforeStep(operation({ control: 'CANCEL', waitingOn: 'nodes' }), 'fail', ID, 5_000)).toMatchObject({
    kind: 'CONTINUE',
    next: { run: 2, undoing: true, waitingOn: null, error: { code: 'CANCEL_REQUESTED' } },
  });
});

test('no way leads out of SUCCEEDED and CANCELLED, and out of FAILED only a redrive', () => {
  const all: readonly OperationStatus[] = ['PENDING', 'RUNNING', 'PAUSED', 'SUCCEEDED', 'FAILED', 'CANCELLED'];
  const from = (status: OperationStatus) => all.filter((to) => to !== status && mayFollow(status, to));
  expect(from('SUCCEEDED')).toEqual([]);
  expect(from('CANCELLED')).toEqual([]);
  expect(from('FAILED')).toEqual(['RUNNING']);
  expect(all.filter((status) => mayFollow(status, 'PENDING'))).toEqual(['PENDING']);
});

test('names of executions and of parts', () => {
  expect(executionName(ID, 1)).toBe(ID);
  expect(executionName(ID, 12)).toBe(`${ID}.12`);
  const child = childOperationId(ID, 7);
  expect(child).toBe(`${ID}-000007`);
  const { from, to } = partsOf(ID);
  for (const number of [0, 7, 999_999]) {
    expect(childOperationId(ID, number) > from.operationId).toBe(true);
    expect(childOperationId(ID, number) < to.operationId).toBe(true);
  }
  expect(ID < from.operationId).toBe(true);
  // A grandchild's execution still fits the 80 characters of Step Functions, and an id the 64 of the API.
  expect(childOperationId(child, 999_999).length).toBeLessThanOrEqual(64);
  expect(executionName(childOperationId(child, 999_999), 99_999_999).length).toBeLessThanOrEqual(80);
});

test('the time left, by the pace so far', () => {
  const at = (done: number, patch: Partial<OperationRecord> = {}) =>
    etaSeconds(operation({ progress: { done, total: 4, unit: 'shards' }, updatedAtMs: 11_000, ...patch }));
  expect(at(1)).toBe(30);
  expect(at(0)).toBeNull();
  expect(at(4)).toBeNull();
  expect(at(1, { status: 'PAUSED' })).toBeNull();
  expect(at(1, { undoing: true })).toBeNull();
});

describe('the check of I-10 finds', () => {
  test.each<[string, Partial<OperationRecord>, Partial<OperationRecord>]>([
    ['an end that is taken back', { status: 'SUCCEEDED', outcome: 'APPLIED' }, { status: 'RUNNING' }],
    ['an older execution', { run: 3 }, { run: 2 }],
    ['an undoing that is taken back', { undoing: true }, { undoing: false }],
    ['a cancel past the point of no return', { cancellable: false }, { status: 'CANCELLED', outcome: 'ROLLED_BACK' }],
    ['a success that applied nothing', {}, { status: 'SUCCEEDED', outcome: 'ROLLED_BACK' }],
    ['an outcome before the end', {}, { outcome: 'APPLIED' }],
    ['a cancel that was not rolled back', {}, { status: 'CANCELLED' }],
    ['a failure without a reason', {}, { status: 'FAILED' }],
  ])('%s', (_what, before, after) => {
    expect(checkOperationTransition(operation(before), operation(after))).toEqual([
      expect.objectContaining({ invariant: 'I-10', subject: ID }),
    ]);
  });
});
