import type { Command } from 'commander';
import { Option } from 'commander';
import { rebalanceCalls } from '../../shared/contracts/api/rebalance.ts';
import type { ShownPlan } from '../../shared/contracts/api/rebalance.ts';
import { replicationCalls } from '../../shared/contracts/api/replication.ts';
import type { Context } from '../context.ts';
import { printFields, printJson, printTable } from '../output.ts';
import type { Run } from '../program.ts';
import { reasonsOf } from './node-care.ts';
import { printStarted, withWatch } from './operations.ts';
import type { WatchOptions } from './operations.ts';

/** `shardctl rebalance`, `shardctl config replication set`, `shardctl tables replication`. */

/** Rows of each table of a plan that a person reads; `--json` has all of them. */
const ROWS_SHOWN_MAX = 50;
const BYTES_PER_MB = 1_000_000;

interface RebalanceOptions extends WatchOptions {
  readonly mode: 'all' | 'leaders' | 'scatter';
  readonly table?: string;
  readonly dryRun?: boolean;
}

export function addRebalanceCommands(program: Command, run: Run): void {
  withWatch(
    program
      .command('rebalance')
      .description('even out replicas, bytes, load and leaders over the nodes')
      .addOption(new Option('--mode <mode>', 'what moves').choices(['all', 'leaders', 'scatter']).default('all'))
      .option('--table <table>', 'only shards of this table')
      .option('--dry-run', 'show the plan, and why what does not move stays'),
  ).action(
    run(async (context, options: RebalanceOptions) => {
      const answer = await context.call(rebalanceCalls.rebalanceShards.response, {
        method: 'POST',
        path: '/shards/rebalance',
        body: {
          mode: options.mode,
          ...(options.table === undefined ? {} : { table: options.table }),
          ...(options.dryRun === true ? { dry_run: true } : {}),
        },
        idempotencyKey: context.newIdempotencyKey(),
      });
      const { operation_id, message, rebalanced_shards, plan } = answer;
      if (operation_id !== null) {
        await printStarted(context, options, { message, rebalanced_shards, operation_id });
        return;
      }
      if (context.options.json) printJson(context, answer);
      else if (plan !== null) printPlan(context, plan);
    }),
  );
}

/** A plan as a person reads it: what moves and why, then what stays and why, then what it comes to. */
function printPlan(context: Context, plan: ShownPlan): void {
  const { summary } = plan;
  const out = (line: string): void => context.io.out(`${line}\n`);
  out(`${summary.moves} replicas to move (${megabytes(summary.bytes_to_move)})`);
  if (plan.moves.length > 0)
    printTable(
      context,
      plan.moves,
      ['shard', 'from', 'to', 'why', 'size'],
      plan.moves
        .slice(0, ROWS_SHOWN_MAX)
        .map((move) => [move.shard_id, move.from, move.to, move.reason, megabytes(move.bytes)]),
    );
  tellOfMore(context, summary.moves);
  out(`${summary.leader_moves} leaders to transfer`);
  if (plan.leader_moves.length > 0)
    printTable(
      context,
      plan.leader_moves,
      ['shard', 'from', 'to', 'why'],
      plan.leader_moves.slice(0, ROWS_SHOWN_MAX).map((move) => [move.shard_id, move.from, move.to, move.reason]),
    );
  tellOfMore(context, summary.leader_moves);
  if (plan.rejected.length > 0) {
    out('What stays although it should move');
    printTable(
      context,
      plan.rejected,
      ['wanted for', 'node', 'shard', 'because'],
      plan.rejected
        .slice(0, ROWS_SHOWN_MAX)
        .map((one) => [one.goal, one.node_id, one.shard_id, reasonsOf(one.reasons)]),
    );
    tellOfMore(context, plan.rejected.length);
  }
  printTable(
    context,
    summary,
    ['share of a node', 'now', 'then'],
    Object.keys(summary.before).map((name) => [name, spreadOf(summary.before[name]), spreadOf(summary.after[name])]),
  );
}

const tellOfMore = (context: Context, count: number): void => {
  if (count > ROWS_SHOWN_MAX) context.io.out(`... and ${count - ROWS_SHOWN_MAX} more; --json shows them\n`);
};

const megabytes = (bytes: number): string => `${Math.ceil(bytes / BYTES_PER_MB)} MB`;

/** `0.80 to 1.25`: the least and the most that any node holds of its fair share. */
const spreadOf = (spread: { least: number; most: number } | undefined): string =>
  spread === undefined ? '-' : `${spread.least.toFixed(2)} to ${spread.most.toFixed(2)}`;

/** `shardctl config replication set <factor>` and `config rebalance ...`. */
export function addConfigCommands(program: Command, run: Run): void {
  const config = program.command('config').description('configuration of the cluster');
  const replication = config.command('replication').description('replication factor of the cluster');
  withWatch(
    replication
      .command('set <factor>')
      .description('change the replication factor of all tables without one of their own')
      .option('--dry-run', 'only check the request'),
  ).action(
    run(async (context, options: WatchOptions & { dryRun?: boolean }, factor: string) => {
      await changeFactor(context, options, '/config/replication', factor);
    }),
  );
  const rebalance = config.command('rebalance').description('limits of moving data');
  rebalance
    .command('get')
    .description('show them')
    .action(
      run(async (context) => {
        const answer = await context.call(rebalanceCalls.getRebalanceConfig.response, {
          method: 'GET',
          path: '/config/rebalance',
        });
        printFields(context, answer, answer);
      }),
    );
  rebalance
    .command('set <name> <value>')
    .description('change one of them, for example: set moves_per_hour 200')
    .action(
      run(async (context, _options, name: string, value: string) => {
        const answer = await context.call(rebalanceCalls.setRebalanceConfig.response, {
          method: 'PUT',
          path: '/config/rebalance',
          body: { [name]: value !== '' && Number.isFinite(Number(value)) ? Number(value) : value },
          idempotencyKey: context.newIdempotencyKey(),
        });
        printFields(context, answer, answer);
      }),
    );
}

/** `shardctl tables replication <table> <factor>`. */
export function addTableReplicationCommand(tables: Command, run: Run): void {
  withWatch(
    tables
      .command('replication <table> <factor>')
      .description('give a table a replication factor of its own')
      .option('--dry-run', 'only check the request'),
  ).action(
    run(async (context, options: WatchOptions & { dryRun?: boolean }, table: string, factor: string) => {
      await changeFactor(context, options, `/tables/${encodeURIComponent(table)}/replication`, factor);
    }),
  );
}

async function changeFactor(
  context: Context,
  options: WatchOptions & { readonly dryRun?: boolean },
  path: string,
  factor: string,
): Promise<void> {
  const answer = await context.call(replicationCalls.setReplicationConfig.response, {
    method: 'PUT',
    path,
    // What is no number is refused by the control plane, which names the field.
    body: { replication_factor: Number(factor), ...(options.dryRun === true ? { dry_run: true } : {}) },
    idempotencyKey: context.newIdempotencyKey(),
  });
  const { message, shards, operation_id } = answer;
  if (operation_id === null) printFields(context, answer, { message, shards, operation_id });
  else await printStarted(context, options, { message, shards, operation_id });
}
