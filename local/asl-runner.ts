import { StateMachine } from 'aws-local-stepfunctions';
import type { Random } from '../shared/domain/environment.ts';
import type { OperationId } from '../shared/domain/ids.ts';
import { executionName } from '../shared/domain/operation.ts';
import type { Json } from '../shared/domain/records.ts';
import type { Logger, OperationStarter } from '../shared/ports.ts';

/**
 * Step Functions on one machine: the same ASL files, Task states served by the operation-step handler in this process, real
 * unique task tokens. An execution lives as long as the process; after a restart the operation goes on in its next one, because state is
 * in the store and every step is idempotent. Waits and timeouts use the process's global timers.
 */
export interface AslRunnerOptions {
  /** Parsed ASL by operation type. */
  readonly definitions: ReadonlyMap<string, unknown>;
  /** The operation-step handler. */
  readonly step: (task: unknown) => Promise<unknown>;
  readonly random: Random;
  readonly log: Logger;
}

export interface AslRunner extends OperationStarter {
  /** Names of executions under way. */
  running(): readonly string[];
  /** Aborts every execution and waits until their present step is over. */
  stop(): Promise<void>;
}

/** Stands in ASL's context object where the real token will be: the library builds the context once for an execution. */
const TOKEN_PLACEHOLDER = '@@TASK_TOKEN@@';
const WAITS_FOR_TOKEN = '.waitForTaskToken';
const INVOKES_LAMBDA = ':states:::lambda:invoke';
const TOKEN_BYTES = 24;

interface Waiter {
  readonly succeed: (output: Json) => void;
  readonly fail: (error: Error) => void;
}

interface Execution {
  readonly tokens: Set<string>;
  abort: () => void;
  finished: Promise<void>;
}

interface TaskState {
  readonly Type: string;
  readonly Resource?: string;
}

/** A failure with a name that ASL's Retry and Catch match, as Lambda reports an error's name. */
class TaskFailure extends Error {
  constructor(code: string, message: string) {
    super(message);
    this.name = code;
  }
}

type StateMachineArguments = ConstructorParameters<typeof StateMachine>;

export function createAslRunner(options: AslRunnerOptions): AslRunner {
  const { definitions, step, random, log } = options;
  const executions = new Map<string, Execution>();
  const waiters = new Map<string, Waiter>();
  /** Steps that run now: an aborted execution does not end them. */
  const steps = new Set<Promise<unknown>>();

  const runStep = async (input: unknown): Promise<unknown> => {
    const running = step(input);
    steps.add(running);
    try {
      return await running;
    } finally {
      steps.delete(running);
    }
  };

  const runWaitingStep = (input: unknown, execution: Execution): Promise<Json> => {
    const token = random.hex(TOKEN_BYTES);
    execution.tokens.add(token);
    return new Promise((resolve, reject) => {
      waiters.set(token, { succeed: resolve, fail: reject });
      runStep(replaceToken(input, token)).catch(reject);
    });
  };

  const handlersOf = (definition: { States: Record<string, TaskState> }, execution: Execution) =>
    Object.fromEntries(
      Object.entries(definition.States)
        .filter(([, state]) => state.Type === 'Task')
        .map(([name, { Resource: resource = '' }]) => [
          name,
          async (input: unknown): Promise<never> => {
            const wrapped = resource.includes(INVOKES_LAMBDA);
            const payload = wrapped ? (input as { Payload: unknown }).Payload : input;
            if (resource.endsWith(WAITS_FOR_TOKEN)) return (await runWaitingStep(payload, execution)) as never;
            const output = await runStep(payload);
            return (wrapped ? { StatusCode: 200, Payload: output } : output) as never;
          },
        ]),
    );

  const execute = (
    type: string,
    id: OperationId,
    name: string,
    definition: { States: Record<string, TaskState> },
  ): Execution => {
    const execution: Execution = { tokens: new Set(), abort: () => undefined, finished: Promise.resolve() };
    const input = { operation_id: id };
    const machine = machineOf(definition);
    const run = machine.run(input, {
      overrides: { taskResourceLocalHandlers: handlersOf(definition, execution) },
      context: {
        Execution: { Id: arnOf(type, name), Name: name, Input: input },
        StateMachine: { Id: stateMachineArn(type), Name: `shardkeeper-${type}` },
        Task: { Token: TOKEN_PLACEHOLDER },
      },
      noThrowOnAbort: true,
    });
    execution.abort = () => run.abort();
    execution.finished = run.result
      .then(
        () => log.info('execution-ended', { type, operation_id: id, execution: name }),
        (error: unknown) => log.error('execution-failed', { type, operation_id: id, execution: name, error }),
      )
      .finally(() => {
        for (const token of execution.tokens) waiters.delete(token);
        executions.delete(name);
      });
    return execution;
  };

  const settle = (token: string, how: (waiter: Waiter) => void): Promise<void> => {
    const waiter = waiters.get(token);
    waiters.delete(token);
    if (waiter !== undefined) how(waiter);
    return Promise.resolve();
  };

  return {
    start: (type: string, id: OperationId, run = 1) => {
      const definition = definitions.get(type);
      if (definition === undefined) return Promise.reject(new Error(`no state machine for operation type ${type}`));
      const name = executionName(id, run);
      if (!executions.has(name))
        executions.set(name, execute(type, id, name, definition as { States: Record<string, TaskState> }));
      return Promise.resolve({ executionArn: arnOf(type, name) });
    },
    isRunning: (_type, id, run) => Promise.resolve(executions.has(executionName(id, run))),
    succeedTask: (token, output) => settle(token, (waiter) => waiter.succeed(output)),
    failTask: (token, code, message) => settle(token, (waiter) => waiter.fail(new TaskFailure(code, message))),
    running: () => [...executions.keys()],
    stop: async () => {
      const open = [...executions.values()];
      for (const execution of open) execution.abort();
      await Promise.allSettled([...open.map((execution) => execution.finished), ...steps]);
    },
  };
}

/** Machines by definition: one carries nothing from run to run, and checking a definition takes some 30 ms. */
const machines = new WeakMap<object, StateMachine>();

function machineOf(definition: object): StateMachine {
  const known = machines.get(definition);
  if (known !== undefined) return known;
  const machine = new StateMachine(definition as StateMachineArguments[0], { validationOptions: { checkArn: false } });
  machines.set(definition, machine);
  return machine;
}

const stateMachineArn = (type: string): string => `arn:aws:states:local:000000000000:stateMachine:shardkeeper-${type}`;
const arnOf = (type: string, id: string): string =>
  `${stateMachineArn(type).replace(':stateMachine:', ':execution:')}:${id}`;

function replaceToken(input: unknown, token: string): unknown {
  const text = JSON.stringify(input, (_key, value: unknown) => (value === TOKEN_PLACEHOLDER ? token : value));
  return JSON.parse(text) as unknown;
}
