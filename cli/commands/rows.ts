import type { Command } from 'commander';
import * as z from 'zod';
import type { Context } from '../context.ts';
import { CliError, EXIT } from '../exit.ts';
import type { Run } from '../program.ts';
import { limitOption } from '../program.ts';
import { printFields, printJson } from '../output.ts';

const jsonText = z.string().transform((text, issues) => {
  try {
    return z.json().parse(JSON.parse(text));
  } catch {
    issues.addIssue({ code: 'custom', message: 'not JSON' });
    return z.NEVER;
  }
});

export function addRowCommands(program: Command, run: Run): void {
  program
    .command('get <table> <key>')
    .description('read a row')
    .action(
      run(async (context, _options, table: string, key: string) => {
        const row = await context.rows((client) => client.get(table, key));
        if (row === null) throw new CliError(EXIT.NOT_FOUND, 'ROW_NOT_FOUND', `${table} has no row ${key}`);
        if (context.options.json) printJson(context, { table, ...row });
        else printJson(context, row.value);
      }),
    );
  program
    .command('put <table> <key> <value>')
    .description('write a row; the value is JSON, or text if it is none')
    .option('--write-id <id>', 'repeat a write whose outcome is unknown')
    .action(
      run(async (context, options: { writeId?: string }, table: string, key: string, value: string) => {
        const json = jsonText.safeParse(value);
        const written = await context.rows((client) =>
          client.put(table, key, json.success ? json.data : value, options),
        );
        printWritten(context, { table, key, ...written });
      }),
    );
  program
    .command('delete <table> <key>')
    .description('delete a row')
    .option('--write-id <id>', 'repeat a write whose outcome is unknown')
    .action(
      run(async (context, options: { writeId?: string }, table: string, key: string) => {
        const written = await context.rows((client) => client.delete(table, key, options));
        printWritten(context, { table, key, ...written });
      }),
    );
  program
    .command('scan <table>')
    .description('read rows in key order; with --json one object a line')
    .option('--start <key>', 'first key')
    .option('--end <key>', 'end of the range, exclusive')
    .addOption(limitOption())
    .action(
      run(async (context, options: { limit: number; start?: string; end?: string }, table: string) => {
        await context.rows(async (client) => {
          const range = {
            limit: options.limit,
            ...(options.start === undefined ? {} : { startKey: options.start }),
            ...(options.end === undefined ? {} : { endKey: options.end }),
          };
          for await (const row of client.scan(table, range)) {
            context.io.out(
              context.options.json ? `${JSON.stringify(row)}\n` : `${row.key}\t${JSON.stringify(row.value)}\n`,
            );
          }
        });
      }),
    );
}

function printWritten(
  context: Context,
  written: { readonly table: string; readonly key: string; readonly timestamp: string; readonly writeId: string },
): void {
  const fields = { table: written.table, key: written.key, timestamp: written.timestamp, write_id: written.writeId };
  printFields(context, { status: 'success', ...fields }, fields);
}
