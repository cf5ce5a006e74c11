import type { Command } from 'commander';
import type * as z from 'zod';
import type { operationSchema } from '../../shared/contracts/api/operations.ts';
import { operationCalls } from '../../shared/contracts/api/operations.ts';
import type { Context } from '../context.ts';
import { CliError, EXIT } from '../exit.ts';
import type { Run } from '../program.ts';
import { limitOption, secondsOption } from '../program.ts';
import { collect, printFields, printJson, printTable, tellMore } from '../output.ts';

export type Operation = z.infer<typeof operationSchema>;

const POLL_MS = 500;
/** How long `--watch` and `--wait` wait unless told otherwise. */
export const WAIT_SECONDS_DEFAULT = 600;

export function addOperationCommands(program: Command, run: Run): void {
  const operations = program.command('ops').description('long-running operations');
  operations
    .command('list')
    .description('list operations, newest first')
    .option('--status <status>', 'PENDING, RUNNING, PAUSED, SUCCEEDED, FAILED or CANCELLED')
    .option('--type <type>', 'for example create-table')
    .addOption(limitOption())
    .action(
      run(async (context, options: { limit: number; status?: string; type?: string }) => {
        const pages = context.pages(async (page) => {
          const answer = await context.call(operationCalls.listOperations.response, {
            method: 'GET',
            path: '/operations',
            query: { ...page, status: options.status, type: options.type },
          });
          return { items: answer.operations, next_cursor: answer.next_cursor };
        }, options.limit);
        const { items, end } = await collect(pages);
        printTable(
          context,
          { operations: items, more: end.more },
          ['operation', 'type', 'status', 'progress', 'created', 'by'],
          items.map((operation) => [
            operation.operation_id,
            operation.type,
            operation.status,
            progressOf(operation),
            operation.created_at,
            operation.created_by,
          ]),
        );
        tellMore(context, end);
      }),
    );
  operations
    .command('get <operation>')
    .description('show one operation')
    .option('--watch', 'wait until it ends')
    .addOption(secondsOption('--wait-seconds <seconds>', 'longest wait of --watch', WAIT_SECONDS_DEFAULT))
    .action(
      run(async (context, options: { watch?: boolean; waitSeconds: number }, id: string) => {
        if (options.watch === true) await waitForOperation(context, id, options.waitSeconds);
        else printOperation(context, await getOperation(context, id));
      }),
    );
}

const getOperation = (context: Context, id: string): Promise<Operation> =>
  context.call(operationCalls.getOperation.response, { method: 'GET', path: `/operations/${encodeURIComponent(id)}` });

/** Waits until an operation ends and prints it; its progress goes to standard error. Throws `CliError` if it failed or took too long. */
export async function waitForOperation(context: Context, id: string, waitSeconds: number): Promise<void> {
  const { clock, timers } = context.io.environment;
  const untilMs = clock.monotonicMs() + waitSeconds * 1000;
  let shown = '';
  for (;;) {
    const operation = await getOperation(context, id);
    const line = `${operation.type} ${operation.status} ${progressOf(operation)}${operation.waiting_on === null ? '' : ` (waiting: ${operation.waiting_on})`}\n`;
    if (line !== shown) context.io.err(line);
    shown = line;
    if (operation.status === 'SUCCEEDED') {
      printOperation(context, operation);
      return;
    }
    if (operation.status === 'FAILED' || operation.status === 'CANCELLED') {
      if (context.options.json) printJson(context, operation);
      const reason =
        operation.error === null ? operation.status : `${operation.error.code}: ${operation.error.message}`;
      throw new CliError(EXIT.REFUSED, `OPERATION_${operation.status}`, `operation ${id} ended: ${reason}`);
    }
    if (clock.monotonicMs() >= untilMs) {
      throw new CliError(
        EXIT.TIMEOUT,
        'OPERATION_UNFINISHED',
        `operation ${id} is ${operation.status} after ${waitSeconds} s and goes on`,
      );
    }
    await timers.sleep(POLL_MS);
  }
}

function printOperation(context: Context, operation: Operation): void {
  printFields(context, operation, {
    operation_id: operation.operation_id,
    type: operation.type,
    status: operation.status,
    outcome: operation.outcome,
    progress: progressOf(operation),
    waiting_on: operation.waiting_on,
    created_by: operation.created_by,
    created_at: operation.created_at,
    updated_at: operation.updated_at,
    error: operation.error === null ? null : `${operation.error.code}: ${operation.error.message}`,
  });
}

const progressOf = (operation: Operation): string =>
  `${operation.progress.done}/${operation.progress.total} ${operation.progress.unit}`;
