import type { Command } from 'commander';
import { shardCalls } from '../../shared/contracts/api/shards.ts';
import type { Run } from '../program.ts';
import { printStarted, withWatch } from './operations.ts';
import type { WatchOptions } from './operations.ts';
import { addSplitMergeCommands } from './split-merge.ts';
import { limitOption } from '../program.ts';
import { collect, printFields, printTable, showKey, tellMore } from '../output.ts';

interface MoveOptions extends WatchOptions {
  readonly to: string;
  readonly from?: string;
  readonly dryRun?: boolean;
}

export function addShardCommands(program: Command, run: Run): void {
  const shards = program.command('shards').description('shards and their leaders');
  shards
    .command('list')
    .description('list shards of a table in key order, of a node, or of all tables')
    .option('--table <table>', 'of this table')
    .option('--node <node>', 'with a replica on this node')
    .addOption(limitOption())
    .action(
      run(async (context, options: { limit: number; table?: string; node?: string }) => {
        const pages = context.pages(async (page) => {
          const answer = await context.call(shardCalls.listShards.response, {
            method: 'GET',
            path: '/shards',
            query: { ...page, table: options.table, node: options.node },
          });
          return { items: answer.shards, next_cursor: answer.next_cursor };
        }, options.limit);
        const { items, end } = await collect(pages);
        printTable(
          context,
          { shards: items, more: end.more },
          ['shard', 'table', 'start', 'end', 'leader', 'epoch', 'replicas'],
          items.map((shard) => [
            shard.shard_id,
            shard.table,
            showKey(shard.data_range_start, 'start'),
            showKey(shard.data_range_end, 'end'),
            shard.leader,
            shard.epoch,
            shard.replica_details
              .map((replica) =>
                replica.sync_status === 'IN_SYNC' ? replica.node_id : `${replica.node_id} ${replica.sync_status}`,
              )
              .join(', '),
          ]),
        );
        tellMore(context, end);
      }),
    );
  shards
    .command('get <shard>')
    .description('show one shard')
    .action(
      run(async (context, _options, shard: string) => {
        const answer = await context.call(shardCalls.getShard.response, {
          method: 'GET',
          path: `/shards/${encodeURIComponent(shard)}`,
        });
        printFields(context, answer, {
          shard_id: answer.shard_id,
          table: answer.table,
          data_range_start: showKey(answer.data_range_start, 'start'),
          data_range_end: showKey(answer.data_range_end, 'end'),
          leader: `${answer.leader} (node epoch ${answer.leader_node_epoch})`,
          epoch: answer.epoch,
          generation: answer.generation,
          state: answer.state,
          min_in_sync: answer.min_in_sync,
          replicas: answer.replica_details
            .map((replica) => `${replica.node_id} ${replica.sync_status}${replica.is_leader ? ' (leader)' : ''}`)
            .join(', '),
          transfer_to: answer.transfer_to,
          data_loss: answer.data_loss,
          created_at: answer.created_at,
        });
      }),
    );
  shards
    .command('leader <shard> <node>')
    .description('transfer leadership to a node with an IN_SYNC replica')
    .action(
      run(async (context, _options, shard: string, node: string) => {
        const answer = await context.call(shardCalls.setLeader.response, {
          method: 'POST',
          path: `/shards/${encodeURIComponent(shard)}/leader`,
          body: { new_leader_node_id: node },
          idempotencyKey: context.newIdempotencyKey(),
        });
        printFields(context, answer, { message: answer.message, epoch: answer.epoch, generation: answer.generation });
      }),
    );
  addSplitMergeCommands(shards, run);
  withWatch(shards.command('move <shard>'))
    .description('move one replica to another node (an operation)')
    .requiredOption('--to <node>', 'node that takes the replica')
    .option('--from <node>', 'node whose replica leaves; default: the one that helps the balance most')
    .option('--dry-run', 'show what would be done, and do nothing')
    .action(
      run(async (context, options: MoveOptions, shard: string) => {
        const answer = await context.call(shardCalls.moveShard.response, {
          method: 'POST',
          path: `/shards/${encodeURIComponent(shard)}/move`,
          body: {
            target_node_id: options.to,
            ...(options.from === undefined ? {} : { source_node_id: options.from }),
            ...(options.dryRun === true ? { dry_run: true } : {}),
          },
          idempotencyKey: context.newIdempotencyKey(),
        });
        const { plan, operation_id } = answer;
        const shown = {
          message: answer.message,
          from: `${plan.source_node_id}${plan.transfers_leader ? ' (leader: the leadership is transferred first)' : ''}`,
          to: plan.target_node_id,
          bytes: plan.bytes,
          generation: plan.generation,
        };
        if (operation_id === null) printFields(context, answer, shown);
        else await printStarted(context, options, { ...shown, operation_id });
      }),
    );
}
