import type { Command } from 'commander';
import type * as z from 'zod';
import {
  DRAIN_DEADLINE_SECONDS_MAX,
  DRAIN_DEADLINE_SECONDS_MIN,
  MAINTENANCE_SECONDS_MAX,
  nodeCareCalls,
} from '../../shared/contracts/api/node-care.ts';
import type { DrainCheckAnswer } from '../../shared/contracts/api/node-care.ts';
import type { Context } from '../context.ts';
import { printFields, printTable } from '../output.ts';
import { optionalSecondsOption, secondsOption } from '../program.ts';
import type { Run } from '../program.ts';
import { printStarted, withWatch } from './operations.ts';
import type { WatchOptions } from './operations.ts';

/** Nodes out of service: `shardctl nodes cordon|uncordon|drain|decommission|maintenance`. */

const MAINTENANCE_SECONDS_DEFAULT = 600;

type Drained = z.infer<typeof nodeCareCalls.drainNode.response>;

interface DrainOptions extends WatchOptions {
  readonly dryRun?: boolean;
  readonly deadlineSeconds?: number;
  readonly keepCordon?: boolean;
}

const deadlineOption = () =>
  optionalSecondsOption(
    '--deadline-seconds <seconds>',
    'undo it if the node is not empty by then (default: it waits)',
    DRAIN_DEADLINE_SECONDS_MIN,
    DRAIN_DEADLINE_SECONDS_MAX,
  );

const deadlineOf = ({ deadlineSeconds, keepCordon }: DrainOptions) => ({
  ...(deadlineSeconds === undefined ? {} : { deadline_seconds: deadlineSeconds }),
  ...(keepCordon === true ? { on_deadline: 'keep_cordon' } : {}),
});

export function addNodeCareCommands(nodes: Command, run: Run): void {
  for (const [name, description] of [
    ['cordon', 'let a node take no new replicas'],
    ['uncordon', 'let a node take new replicas again; ends a maintenance'],
  ] as const) {
    nodes
      .command(`${name} <node>`)
      .description(description)
      .action(
        run(async (context, _options, node: string) => {
          const answer = await context.call(nodeCareCalls.cordonNode.response, {
            method: 'POST',
            path: `${pathOf(node)}/${name}`,
            idempotencyKey: context.newIdempotencyKey(),
          });
          printFields(context, answer, { message: answer.message, cordoned: answer.cordoned });
        }),
      );
  }
  withWatch(
    nodes
      .command('drain <node>')
      .description('cordon a node and move everything off it')
      .option('--dry-run', 'only check whether everything would fit elsewhere')
      .addOption(deadlineOption())
      .option('--keep-cordon', 'leave the node cordoned when the deadline has passed'),
  ).action(
    run(async (context, options: DrainOptions, node: string) => {
      const answer = await context.call(nodeCareCalls.drainNode.response, {
        method: 'POST',
        path: `${pathOf(node)}/drain`,
        body: { ...(options.dryRun === true ? { dry_run: true } : {}), ...deadlineOf(options) },
        idempotencyKey: context.newIdempotencyKey(),
      });
      await printDrain(context, options, answer);
    }),
  );
  withWatch(
    nodes
      .command('decommission <node>')
      .description('move everything off a node, then take it out of the cluster for good')
      .option('--dry-run', 'only check whether everything would fit elsewhere')
      .addOption(deadlineOption())
      .option('--keep-cordon', 'leave the node cordoned when the deadline has passed'),
  ).action(
    run(async (context, options: DrainOptions, node: string) => {
      const answer = await context.call(nodeCareCalls.decommissionNode.response, {
        method: 'DELETE',
        path: pathOf(node),
        query: { ...(options.dryRun === true ? { dry_run: 'true' } : {}), ...deadlineOf(options) },
        idempotencyKey: context.newIdempotencyKey(),
      });
      await printDrain(context, options, answer);
    }),
  );
  withWatch(
    nodes
      .command('maintenance <node>')
      .description('move the leaders off a node and replace none of its replicas for a while')
      .addOption(
        secondsOption(
          '--seconds <seconds>',
          `how long, at most ${MAINTENANCE_SECONDS_MAX}`,
          MAINTENANCE_SECONDS_DEFAULT,
        ),
      ),
  ).action(
    run(async (context, options: WatchOptions & { seconds: number }, node: string) => {
      const answer = await context.call(nodeCareCalls.maintainNode.response, {
        method: 'POST',
        path: `${pathOf(node)}/maintenance`,
        body: { seconds: options.seconds },
        idempotencyKey: context.newIdempotencyKey(),
      });
      const { operation_id, message, until } = answer;
      if (operation_id === null) printFields(context, answer, { message, until, operation_id });
      else await printStarted(context, options, { message, until, operation_id });
    }),
  );
}

const pathOf = (node: string): string => `/cluster/nodes/${encodeURIComponent(node)}`;

async function printDrain(context: Context, options: WatchOptions, answer: Drained): Promise<void> {
  const { message, operation_id, check } = answer;
  if (operation_id !== null) {
    await printStarted(context, options, { message, replicas: check.replicas, operation_id });
    return;
  }
  printFields(context, answer, {
    message,
    fits: check.fits,
    replicas: check.replicas,
    bytes: check.bytes,
    waiting: check.waiting,
    refused: check.refused,
  });
  if (!context.options.json && check.obstacles.length > 0) printObstacles(context, check);
}

const printObstacles = (context: Context, { obstacles }: DrainCheckAnswer): void =>
  printTable(
    context,
    obstacles,
    ['shard', 'finds no node because'],
    obstacles.map(({ shard_id, reasons }) => [shard_id, reasonsOf(reasons)]),
  );

/** `2 ZONE_RULE, 1 NODE_CORDONED`: the nearest miss first. */
export const reasonsOf = (reasons: readonly { readonly reason: string; readonly count: number }[]): string =>
  reasons.map(({ reason, count }) => `${count} ${reason}`).join(', ');
