import type { Command } from 'commander';
import type * as z from 'zod';
import type { operationSchema } from '../../shared/contracts/api/operations.ts';
import { operationCalls, PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN } from '../../shared/contracts/api/operations.ts';
import type { Context } from '../context.ts';
import { CliError, EXIT } from '../exit.ts';
import type { Run } from '../program.ts';
import { limitOption, optionalSecondsOption, secondsOption } from '../program.ts';
import type { Cell } from '../output.ts';
import { collect, printFields, printJson, printTable, tellMore } from '../output.ts';

export type Operation = z.infer<typeof operationSchema>;

const POLL_MS = 500;
/** How long `--watch` waits unless told otherwise. */
const WAIT_SECONDS_DEFAULT = 600;
/** Erases the line and goes to its start (ECMA-48). */
const SAME_LINE = '\r\u001b[K';

export interface WatchOptions {
  readonly watch?: boolean;
  readonly waitSeconds: number;
}

interface ListOptions {
  readonly limit: number;
  readonly status?: string;
  readonly type?: string;
  readonly parent?: string;
  readonly resource?: string;
}

/** `--watch` and its bound, for every command that starts an operation. */
export const withWatch = (command: Command): Command =>
  command
    .option('--watch', 'wait until the operation ends, and show its progress')
    .addOption(secondsOption('--wait-seconds <seconds>', 'longest wait of --watch', WAIT_SECONDS_DEFAULT));

/** The end of a command that started an operation: its answer, or with `--watch` the operation's way to its end. */
export async function printStarted(
  context: Context,
  options: WatchOptions,
  answer: Readonly<Record<string, Cell>> & { readonly operation_id: string },
): Promise<void> {
  if (options.watch === true) await waitForOperation(context, answer.operation_id, options.waitSeconds);
  else printFields(context, answer, answer);
}

export function addOperationCommands(program: Command, run: Run): void {
  const operations = program.command('operations').alias('ops').description('long-running operations');
  operations
    .command('list')
    .description('list operations, newest first')
    .option('--status <status>', 'PENDING, RUNNING, PAUSED, SUCCEEDED, FAILED or CANCELLED')
    .option('--type <type>', 'for example create-table')
    .option('--parent <operation>', 'the parts of this operation')
    .option('--resource <id>', 'those about this node, shard or table')
    .addOption(limitOption())
    .action(
      run(async (context, options: ListOptions) => {
        const pages = context.pages(async (page) => {
          const answer = await context.call(operationCalls.listOperations.response, {
            method: 'GET',
            path: '/operations',
            query: {
              ...page,
              status: options.status,
              type: options.type,
              parent_id: options.parent,
              resource: options.resource,
            },
          });
          return { items: answer.operations, next_cursor: answer.next_cursor };
        }, options.limit);
        const { items, end } = await collect(pages);
        printTable(
          context,
          { operations: items, more: end.more },
          ['operation', 'type', 'status', 'progress', 'waiting on', 'created', 'by'],
          items.map((operation) => [
            operation.operation_id,
            operation.type,
            statusOf(operation),
            progressOf(operation),
            operation.waiting_on,
            operation.created_at,
            operation.created_by,
          ]),
        );
        tellMore(context, end);
      }),
    );
  withWatch(operations.command('get <operation>').alias('show').description('show one operation')).action(
    run(async (context, options: WatchOptions, id: string) => {
      if (options.watch === true) await waitForOperation(context, id, options.waitSeconds);
      else printOperation(context, await getOperation(context, id));
    }),
  );
  operations
    .command('parts <operation>')
    .description('list the parts of a large operation, in the order of execution')
    .addOption(limitOption())
    .action(
      run(async (context, options: { limit: number }, id: string) => {
        const pages = context.pages(async (page) => {
          const answer = await context.call(operationCalls.listOperationParts.response, {
            method: 'GET',
            path: `${pathOf(id)}/parts`,
            query: page,
          });
          return { items: answer.parts, next_cursor: answer.next_cursor };
        }, options.limit);
        const { items, end } = await collect(pages);
        printTable(
          context,
          { parts: items, more: end.more },
          ['part', 'status', 'operation', 'what', 'reason'],
          items.map((part) => [part.number, part.status, part.child_id, JSON.stringify(part.value), part.reason]),
        );
        tellMore(context, end);
      }),
    );
  for (const [name, description] of Object.entries(CONTROLS)) {
    const command = withWatch(operations.command(`${name} <operation>`).description(description));
    if (name === 'pause')
      command.addOption(
        optionalSecondsOption(
          '--for-seconds <seconds>',
          'then it goes on by itself (default: a day)',
          PAUSE_SECONDS_MIN,
          PAUSE_SECONDS_MAX,
        ),
      );
    command.action(
      run(async (context, options: WatchOptions & { readonly forSeconds?: number }, id: string) => {
        const answer = await context.call(operationCalls.getOperation.response, {
          method: 'POST',
          path: `${pathOf(id)}/${name}`,
          ...(options.forSeconds === undefined ? {} : { body: { seconds: options.forSeconds } }),
          idempotencyKey: context.newIdempotencyKey(),
        });
        if (options.watch === true) await waitForOperation(context, id, options.waitSeconds, CALM[name] ?? []);
        else printOperation(context, answer);
      }),
    );
  }
}

const CONTROLS: Readonly<Record<string, string>> = {
  pause: 'stop it at the next boundary of a step, for a time',
  resume: 'let a paused one go on',
  cancel: 'undo it and end it; refused once it can no longer be undone',
  redrive: 'let a failed one go on from what stands; one that was rolled back starts anew',
};
/** Statuses that are what was asked for, besides SUCCEEDED: they end `--watch` well. */
const CALM: Readonly<Record<string, readonly Operation['status'][]>> = { pause: ['PAUSED'], cancel: ['CANCELLED'] };

const pathOf = (id: string): string => `/operations/${encodeURIComponent(id)}`;

const getOperation = (context: Context, id: string): Promise<Operation> =>
  context.call(operationCalls.getOperation.response, { method: 'GET', path: pathOf(id) });

/**
 * Waits until an operation ends and prints it; its progress goes to standard error: one line that changes on a terminal, else a line for each
 * change. Throws `CliError` if it failed, was cancelled (a code of its own), or took too long; a status in `wanted` is a good end too.
 */
export async function waitForOperation(
  context: Context,
  id: string,
  waitSeconds: number,
  wanted: readonly Operation['status'][] = [],
): Promise<void> {
  const { clock, timers } = context.io.environment;
  const untilMs = clock.monotonicMs() + waitSeconds * 1000;
  const progress = progressLines(context);
  for (;;) {
    const operation = await getOperation(context, id);
    progress.show(progressLine(operation));
    if (operation.status === 'SUCCEEDED' || wanted.includes(operation.status)) {
      progress.end();
      printOperation(context, operation);
      return;
    }
    if (operation.status === 'FAILED' || operation.status === 'CANCELLED') {
      progress.end();
      if (context.options.json) printJson(context, operation);
      const reason =
        operation.error === null ? operation.status : `${operation.error.code}: ${operation.error.message}`;
      const exit = operation.status === 'CANCELLED' ? EXIT.CANCELLED : EXIT.REFUSED;
      throw new CliError(exit, `OPERATION_${operation.status}`, `operation ${id} ended: ${reason}`);
    }
    if (clock.monotonicMs() >= untilMs) {
      progress.end();
      throw new CliError(
        EXIT.TIMEOUT,
        'OPERATION_UNFINISHED',
        `operation ${id} is ${operation.status} after ${waitSeconds} s and goes on`,
      );
    }
    await timers.sleep(POLL_MS);
  }
}

function progressLines({ io }: Context): { show(line: string): void; end(): void } {
  let shown: string | null = null;
  return {
    show: (line) => {
      if (line === shown) return;
      io.err(io.errIsTerminal === true ? `${SAME_LINE}${line}` : `${line}\n`);
      shown = line;
    },
    end: () => {
      if (io.errIsTerminal === true && shown !== null) io.err('\n');
    },
  };
}

function progressLine(operation: Operation): string {
  const eta = operation.eta_seconds === null ? '' : `, about ${operation.eta_seconds} s left`;
  const waits = operation.waiting_on === null ? '' : ` (waiting: ${operation.waiting_on})`;
  return `${operation.type} ${statusOf(operation)} ${progressOf(operation)}${eta}${waits}`;
}

/** The status, and what it was asked to do and has not done yet. */
function statusOf({ status, control }: Operation): string {
  if (status !== 'RUNNING' && status !== 'PENDING') return status;
  if (control === 'PAUSE') return `${status}, pausing`;
  return control === 'CANCEL' ? `${status}, cancelling` : status;
}

function printOperation(context: Context, operation: Operation): void {
  printFields(context, operation, {
    operation_id: operation.operation_id,
    type: operation.type,
    status: statusOf(operation),
    outcome: operation.outcome,
    progress: progressOf(operation),
    eta_seconds: operation.eta_seconds,
    waiting_on: operation.waiting_on,
    last_step: lastStep(operation),
    execution: operation.run,
    parent_id: operation.parent_id,
    about: operation.resources?.join(', ') ?? null,
    created_by: operation.created_by,
    created_at: operation.created_at,
    updated_at: operation.updated_at,
    failed_step: operation.error?.step ?? null,
    error: operation.error === null ? null : `${operation.error.code}: ${operation.error.message}`,
  });
}

function lastStep({ steps }: Operation): string | null {
  const step = steps.at(-1);
  return step === undefined ? null : `${step.name} (${step.detail})`;
}

const progressOf = (operation: Operation): string =>
  `${operation.progress.done}/${operation.progress.total} ${operation.progress.unit}`;
