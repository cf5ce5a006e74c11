import type { Command } from 'commander';
import * as z from 'zod';
import { recoveryCalls, recoveryPlanSchema } from '../../shared/contracts/api/recovery.ts';
import type { WireRecoveryPlan } from '../../shared/contracts/api/recovery.ts';
import type { Context } from '../context.ts';
import { CliError, EXIT } from '../exit.ts';
import type { Run } from '../program.ts';
import { limitOption } from '../program.ts';
import { collect, printFields, printTable, tellMore } from '../output.ts';

/** Recovery after the loss of a quorum: a plan is printed, kept in a file, read by a person, and applied from that file. */

interface PlanOptions {
  readonly shard?: string;
  readonly table?: string;
}

const planFileSchema = z.object({ plans: z.array(recoveryPlanSchema).min(1) });

export function addRecoveryCommands(program: Command, run: Run): void {
  const recovery = program.command('recovery').description('shards that lost the quorum of their replicas');
  recovery
    .command('plan')
    .description('show what can be recovered by hand and what would be lost; changes nothing (--json > FILE for apply)')
    .option('--shard <shard>', 'only this shard')
    .option('--table <table>', 'only shards of this table')
    .action(
      run(async (context, { shard, table }: PlanOptions) => {
        const answer = await context.call(recoveryCalls.recoverShards.response, {
          method: 'POST',
          path: recoveryCalls.recoverShards.path,
          body: {
            dry_run: true,
            ...(shard === undefined ? {} : { shard_id: shard }),
            ...(table === undefined ? {} : { table }),
          },
          idempotencyKey: context.newIdempotencyKey(),
        });
        printTable(
          context,
          answer,
          ['shard', 'kind', 'generation', 'new leader', 'log ends at', 'what it means'],
          [
            ...answer.plans.map(planRow),
            ...answer.refused.map((one) => [one.shard_id, one.code, null, null, null, one.explanation]),
          ],
        );
        tellMore(context, answer);
      }),
    );
  recovery
    .command('apply <file>')
    .description('apply the plans of a file that "recovery plan --json" wrote, exactly as they are')
    .option('--acknowledge-data-loss', 'required: acknowledged writes may be lost for good')
    .action(
      run(async (context, options: { acknowledgeDataLoss?: boolean }, file: string) => {
        const plans = plansOf(context, file);
        const answer = await context.call(recoveryCalls.recoverShards.response, {
          method: 'POST',
          path: recoveryCalls.recoverShards.path,
          body: { plans, acknowledge_data_loss: options.acknowledgeDataLoss === true },
          idempotencyKey: context.newIdempotencyKey(),
        });
        printTable(
          context,
          answer,
          ['shard', 'result', 'leader', 'epoch'],
          [
            ...answer.recovered.map((one) => [one.shard_id, 'recovered', one.leader, one.epoch]),
            ...answer.refused.map((one) => [one.shard_id, `${one.code}: ${one.explanation}`, null, null]),
          ],
        );
      }),
    );
  recovery
    .command('list')
    .description('shards that were recovered and not closed yet')
    .addOption(limitOption())
    .action(
      run(async (context, { limit }: { limit: number }) => {
        const pages = context.pages(async (page) => {
          const answer = await context.call(recoveryCalls.listRecoveries.response, {
            method: 'GET',
            path: recoveryCalls.listRecoveries.path,
            query: page,
          });
          return { items: answer.shards, next_cursor: answer.next_cursor };
        }, limit);
        const { items, end } = await collect(pages);
        printTable(
          context,
          { shards: items, more: end.more },
          ['shard', 'table', 'kind', 'min_in_sync', 'by', 'at'],
          items.map((one) => [
            one.shard_id,
            one.table,
            one.kind,
            `${one.min_in_sync.present} of ${one.min_in_sync.wanted}`,
            one.started_by,
            one.at,
          ]),
        );
        tellMore(context, end);
      }),
    );
  recovery
    .command('close <shard>')
    .description('take the data_loss mark off a shard whose loss was dealt with')
    .requiredOption('--note <text>', 'how it was dealt with; kept in the audit log')
    .action(
      run(async (context, options: { note: string }, shard: string) => {
        const answer = await context.call(recoveryCalls.closeRecovery.response, {
          method: 'POST',
          path: `/recovery/shards/${encodeURIComponent(shard)}/close`,
          body: { note: options.note },
          idempotencyKey: context.newIdempotencyKey(),
        });
        printFields(context, answer, { message: answer.message });
      }),
    );
}

const planRow = (plan: WireRecoveryPlan) => [
  plan.shard_id,
  plan.kind,
  plan.generation,
  plan.candidate.node_id,
  plan.log_end === null ? null : `${plan.log_end.epoch}/${plan.log_end.seq}`,
  plan.explanation,
];

function plansOf(context: Context, file: string): readonly WireRecoveryPlan[] {
  const text = context.io.readFile(file);
  if (text === null) throw new CliError(EXIT.USAGE, 'NO_FILE', `there is no file ${file}`);
  try {
    return planFileSchema.parse(JSON.parse(text)).plans;
  } catch {
    throw new CliError(
      EXIT.USAGE,
      'BAD_PLAN',
      `${file} is not what "shardctl recovery plan --json" writes, or has no plan`,
    );
  }
}
