import { Option } from 'commander';
import type { Command } from 'commander';
import { tableCalls } from '../../shared/contracts/api/tables.ts';
import type { Context } from '../context.ts';
import { CliError, EXIT } from '../exit.ts';
import type { Run } from '../program.ts';
import { limitOption } from '../program.ts';
import { collect, printFields, printTable, tellMore } from '../output.ts';
import { addTableReplicationCommand } from './rebalance.ts';
import { printStarted, withWatch } from './operations.ts';
import type { WatchOptions } from './operations.ts';

interface CreateOptions {
  readonly keyType?: string;
  readonly preSplit?: string;
  readonly preSplitFile?: string;
  readonly rf?: number;
}

/** `--wait` is `--watch` by its older name. */
type StartOptions = WatchOptions & { readonly wait?: boolean };
const watched = (options: StartOptions): WatchOptions => ({
  watch: options.watch === true || options.wait === true,
  waitSeconds: options.waitSeconds,
});

export function addTableCommands(program: Command, run: Run): void {
  const tables = program.command('tables').description('tables');
  addTableReplicationCommand(tables, run);
  tables
    .command('list')
    .description('list tables by name')
    .addOption(limitOption())
    .action(
      run(async (context, { limit }: { limit: number }) => {
        const pages = context.pages(async (page) => {
          const answer = await context.call(tableCalls.listTables.response, {
            method: 'GET',
            path: '/tables',
            query: page,
          });
          return { items: answer.tables, next_cursor: answer.next_cursor };
        }, limit);
        const { items, end } = await collect(pages);
        printTable(
          context,
          { tables: items, more: end.more },
          ['table', 'state', 'shards', 'replication factor', 'key type', 'created'],
          items.map((table) => [
            table.table,
            table.state,
            table.shards,
            table.replication_factor,
            table.key_type,
            table.created_at,
          ]),
        );
        tellMore(context, end);
      }),
    );
  tables
    .command('get <table>')
    .description('show one table')
    .action(
      run(async (context, _options, table: string) => {
        const answer = await context.call(tableCalls.getTable.response, { method: 'GET', path: pathOf(table) });
        printFields(context, answer, answer);
      }),
    );
  withWatch(tables.command('create <table>'))
    .description('create a table (an operation)')
    .addOption(new Option('--key-type <type>', 'type of its keys').choices(['string', 'int64']))
    .option('--pre-split <keys>', 'keys at which it is split from the start, separated by commas')
    .option('--pre-split-file <file>', 'the same, one key a line')
    .option('--rf <factor>', 'replication factor', Number)
    .option('--wait', 'the same as --watch')
    .action(
      run(async (context, options: CreateOptions & StartOptions, table: string) => {
        const preSplit = preSplitOf(context, options);
        const answer = await context.call(tableCalls.createTable.response, {
          method: 'POST',
          path: '/tables',
          body: {
            table,
            ...(options.keyType === undefined ? {} : { key_type: options.keyType }),
            ...(preSplit === null ? {} : { pre_split: preSplit }),
            ...(options.rf === undefined ? {} : { replication_factor: options.rf }),
          },
          idempotencyKey: context.newIdempotencyKey(),
        });
        await printStarted(context, watched(options), answer);
      }),
    );
  withWatch(tables.command('delete <table>'))
    .description('delete a table and its rows (an operation)')
    .option('--wait', 'the same as --watch')
    .action(
      run(async (context, options: StartOptions, table: string) => {
        const answer = await context.call(tableCalls.deleteTable.response, {
          method: 'DELETE',
          path: pathOf(table),
          idempotencyKey: context.newIdempotencyKey(),
        });
        await printStarted(context, watched(options), answer);
      }),
    );
}

const pathOf = (table: string): string => `/tables/${encodeURIComponent(table)}`;

function preSplitOf(context: Context, options: CreateOptions): readonly string[] | null {
  if (options.preSplit !== undefined && options.preSplitFile !== undefined) {
    throw new CliError(EXIT.USAGE, 'USAGE', 'give --pre-split or --pre-split-file, not both');
  }
  if (options.preSplitFile !== undefined) {
    const text = context.io.readFile(options.preSplitFile);
    if (text === null) throw new CliError(EXIT.USAGE, 'USAGE', `can't read ${options.preSplitFile}`);
    return text.split(/\r?\n/).filter((line) => line !== '');
  }
  return options.preSplit === undefined ? null : options.preSplit.split(',').filter((key) => key !== '');
}
