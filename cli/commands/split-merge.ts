import type { Command } from 'commander';
import { splitMergeCalls } from '../../shared/contracts/api/split-merge.ts';
import { printFields } from '../output.ts';
import type { Run } from '../program.ts';
import { printStarted, withWatch } from './operations.ts';
import type { WatchOptions } from './operations.ts';

/** `shardctl shards split` and `shards merge`: both start operations. */

interface SplitOptions extends WatchOptions {
  readonly at?: string;
  readonly dryRun?: boolean;
}

interface MergeOptions extends WatchOptions {
  readonly with?: string;
  readonly dryRun?: boolean;
}

const DRY_RUN = ['--dry-run', 'show what would be done, and do nothing'] as const;

/** Adds to the command `shards`. */
export function addSplitMergeCommands(shards: Command, run: Run): void {
  withWatch(shards.command('split <shard>'))
    .description('split a shard in two (an operation); reads and writes go on')
    .option('--at <key>', "first key of the new shard; default: the middle of its rows, by the leader's choice")
    .option(...DRY_RUN)
    .action(
      run(async (context, options: SplitOptions, shard: string) => {
        const answer = await context.call(splitMergeCalls.splitShard.response, {
          method: 'POST',
          path: `/shards/${encodeURIComponent(shard)}/split`,
          body: {
            ...(options.at === undefined ? {} : { split_key: options.at }),
            ...(options.dryRun === true ? { dry_run: true } : {}),
          },
          idempotencyKey: context.newIdempotencyKey(),
        });
        const { plan, operation_id } = answer;
        const shown = {
          message: answer.message,
          split_key: plan.split_key ?? "the leader's choice",
          nodes: plan.nodes.join(', '),
          generation: plan.generation,
        };
        if (operation_id === null) printFields(context, answer, shown);
        else await printStarted(context, options, { ...shown, operation_id });
      }),
    );
  withWatch(shards.command('merge <shard>'))
    .description('merge a shard with a neighbour (an operation); the left one of the two stays')
    .option('--with <shard>', 'a neighbour on either side; default: the right one')
    .option(...DRY_RUN)
    .action(
      run(async (context, options: MergeOptions, shard: string) => {
        const answer = await context.call(splitMergeCalls.mergeShards.response, {
          method: 'POST',
          path: `/shards/${encodeURIComponent(shard)}/merge`,
          body: {
            ...(options.with === undefined ? {} : { with_shard_id: options.with }),
            ...(options.dryRun === true ? { dry_run: true } : {}),
          },
          idempotencyKey: context.newIdempotencyKey(),
        });
        const { plan, operation_id } = answer;
        const moves = plan.moves.map(
          (move) => `${move.shard_id}: ${move.remove.join(', ') || 'none'} -> ${move.add.join(', ') || 'none'}`,
        );
        const shown = {
          message: answer.message,
          stays: plan.shard_id,
          absorbed: plan.with_shard_id,
          nodes: plan.nodes.join(', '),
          moves: moves.length === 0 ? 'none: the copies are on the same nodes' : moves.join('; '),
          leader_transfer: plan.transfers_leader ? 'yes' : 'no',
          generations: `${plan.generation}, ${plan.with_generation}`,
        };
        if (operation_id === null) printFields(context, answer, shown);
        else await printStarted(context, options, { ...shown, operation_id });
      }),
    );
}
