import { createAslRunner } from '../../local/asl-runner.ts';
import type { AslRunner } from '../../local/asl-runner.ts';
import { operationId } from '../../shared/domain/ids.ts';
import { seededRandom } from '../support/environment.ts';

/** ASL files on one machine: the forms that the operations' machines use. */
const invoke = (step: string, rest: object) => ({
  Type: 'Task',
  Resource: 'arn:aws:states:::lambda:invoke',
  Parameters: { FunctionName: '${OperationStepFunction}', Payload: { 'operation_id.$': '$.operation_id', step } },
  ResultSelector: { 'next.$': '$.Payload.next' },
  ResultPath: '$.result',
  TimeoutSeconds: 10,
  ...rest,
});
const waitFor = (step: string, rest: object) => ({
  Type: 'Task',
  Resource: 'arn:aws:states:::lambda:invoke.waitForTaskToken',
  Parameters: {
    FunctionName: '${OperationStepFunction}',
    Payload: { 'operation_id.$': '$.operation_id', step, 'task_token.$': '$$.Task.Token' },
  },
  ResultPath: null,
  TimeoutSeconds: 1,
  ...rest,
});
const retryTwice = { Retry: [{ ErrorEquals: ['States.ALL'], IntervalSeconds: 0, MaxAttempts: 2, BackoffRate: 1 }] };
const orCaught = { Catch: [{ ErrorEquals: ['States.ALL'], ResultPath: '$.error', Next: 'Undo' }] };
const end = { Done: { Type: 'Succeed' }, Undo: invoke('undo', { Next: 'Done' }) };

const machines = {
  loop: {
    StartAt: 'Work',
    States: {
      Work: invoke('work', { Next: 'After', ...orCaught }),
      After: {
        Type: 'Choice',
        Choices: [{ Variable: '$.result.next', StringEquals: 'work', Next: 'Work' }],
        Default: 'Done',
      },
      ...end,
    },
  },
  wait: {
    StartAt: 'Ask',
    States: { Ask: waitFor('ask', { Next: 'Work', ...orCaught }), Work: invoke('work', { Next: 'Done' }), ...end },
  },
  retry: { StartAt: 'Work', States: { Work: invoke('work', { Next: 'Done', ...retryTwice, ...orCaught }), ...end } },
};

interface Call {
  readonly operation_id: string;
  readonly step: string;
  readonly task_token?: string;
}

function run(step: (call: Call, count: number) => unknown) {
  const seen: Call[] = [];
  const log: string[] = [];
  const write = (event: string): void => void log.push(event);
  const runner: AslRunner = createAslRunner({
    definitions: new Map(Object.entries(machines)),
    step: async (task) => {
      seen.push(task as Call);
      return step(task as Call, seen.length);
    },
    random: seededRandom(1),
    log: { info: write, warn: write, error: write },
  });
  const ended = async (): Promise<readonly string[]> => {
    while (runner.running().length > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    return seen.map((call) => call.step);
  };
  return { runner, seen, log, ended };
}

test('a Choice follows what the step says', async () => {
  const { runner, seen, ended } = run((_call, count) => ({ next: count < 3 ? 'work' : 'done' }));
  const { executionArn } = await runner.start('loop', operationId('op-1'));
  expect(executionArn).toMatch(/execution:shardkeeper-loop:op-1$/);
  expect(await ended()).toEqual(['work', 'work', 'work']);
  expect(seen[0]).toEqual({ operation_id: 'op-1', step: 'work' });
});

test('starting an operation that runs already is success and starts nothing', async () => {
  const { runner, ended } = run(() => ({ next: 'done' }));
  const first = await runner.start('loop', operationId('op-1'));
  expect(await runner.start('loop', operationId('op-1'))).toEqual(first);
  expect(await ended()).toEqual(['work']);
});

test('an unknown operation type is an error', async () => {
  await expect(run(() => null).runner.start('nothing', operationId('op-1'))).rejects.toThrow('no state machine');
});

test('a failing step is retried, then caught', async () => {
  const { runner, ended } = run(({ step }) => {
    if (step === 'work') throw new Error('no');
    return { next: 'done' };
  });
  await runner.start('retry', operationId('op-1'));
  expect(await ended()).toEqual(['work', 'work', 'work', 'undo']);
});

describe('task tokens', () => {
  test('are real and unique; success goes on', async () => {
    const { runner, seen, ended } = run(({ task_token }) => {
      if (task_token !== undefined) setTimeout(() => void runner.succeedTask(task_token, {}), 5);
      return { next: 'ignored' };
    });
    await runner.start('wait', operationId('op-1'));
    await runner.start('wait', operationId('op-2'));
    await ended();
    const tokens = seen.flatMap((call) => call.task_token ?? []);
    expect(new Set(tokens).size).toBe(2);
    for (const token of tokens) expect(token).toMatch(/^[0-9a-f]{48}$/);
    expect(seen.filter((call) => call.step === 'work')).toHaveLength(2);
  });

  test('an answer that comes before the step returns counts', async () => {
    const { runner, ended } = run(async ({ task_token }) => {
      if (task_token !== undefined) await runner.succeedTask(task_token, {});
      return { next: 'ignored' };
    });
    await runner.start('wait', operationId('op-1'));
    expect(await ended()).toEqual(['ask', 'work']);
  });

  test('failure is caught', async () => {
    const { runner, ended } = run(({ task_token }) => {
      if (task_token !== undefined) setTimeout(() => void runner.failTask(task_token, 'REFUSED', 'no'), 5);
      return { next: 'done' };
    });
    await runner.start('wait', operationId('op-1'));
    expect(await ended()).toEqual(['ask', 'undo']);
  });

  test('no answer: the Task times out and is caught; the late answer is ignored', async () => {
    let token = '';
    const { runner, ended } = run(({ task_token }) => {
      token = task_token ?? token;
      return { next: 'done' };
    });
    await runner.start('wait', operationId('op-1'));
    expect(await ended()).toEqual(['ask', 'undo']);
    await expect(runner.succeedTask(token, {})).resolves.toBeUndefined();
  });

  test('an unknown token is ignored', async () => {
    await expect(run(() => null).runner.failTask('nobody', 'X', 'y')).resolves.toBeUndefined();
  });
});

test('stop ends what waits and lets the present step finish', async () => {
  let finished = false;
  const { runner, log } = run(async () => {
    await new Promise((resolve) => setTimeout(resolve, 50));
    finished = true;
    return { next: 'work' };
  });
  await runner.start('wait', operationId('op-1'));
  await runner.start('loop', operationId('op-2'));
  await runner.stop();
  expect(finished).toBe(true);
  expect(runner.running()).toEqual([]);
  expect(log).not.toContain('execution-failed');
});
