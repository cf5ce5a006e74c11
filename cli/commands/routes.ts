import type { Command } from 'commander';
import { decisionCalls } from '../../shared/contracts/api/decisions.ts';
import { routeCalls } from '../../shared/contracts/api/routes.ts';
import type { Route } from '../../shared/contracts/data/rows.ts';
import type { Context } from '../context.ts';
import { CliError, EXIT } from '../exit.ts';
import { collect, printFields, printJson, printTable, showKey, tellMore } from '../output.ts';
import type { Run } from '../program.ts';
import { limitOption, secondsOption } from '../program.ts';

/** Where keys live, lived, and will have moved to; and why. */

interface DecisionOptions {
  readonly limit: number;
  readonly shard?: string;
  readonly node?: string;
  readonly code?: string;
  readonly since?: string;
}

/** Seconds of a watch without `--for`: a day. */
const WATCH_SECONDS_MAX = 86_400;

export function addRouteCommands(program: Command, run: Run): void {
  const routes = program.command('routes').description('where keys live');
  routes
    .command('get <table> <key>')
    .description('show the route of a key, now or at a time that has passed')
    .option('--at <time>', 'ISO 8601 in UTC, for example 2026-11-20T20:15:00Z')
    .action(
      run(async (context, options: { at?: string }, table: string, key: string) => {
        const answer = await context.call(routeCalls.getRoute.response, {
          method: 'GET',
          path: `/routes/${encodeURIComponent(table)}`,
          query: { key, at: options.at },
        });
        printFields(context, answer, {
          table: answer.table,
          shard_id: answer.shard_id,
          start_key: showKey(answer.start_key, 'start'),
          end_key: showKey(answer.end_key, 'end'),
          epoch: answer.epoch,
          leader: `${answer.leader.node_id} ${answer.leader.host}:${answer.leader.port}`,
          replicas: answer.replicas.map((replica) => `${replica.node_id} ${replica.sync_status}`).join(', '),
          ...(answer.at === undefined
            ? {}
            : {
                at: answer.at,
                leader_since: answer.leader_since ?? null,
                until: answer.until ?? 'now',
              }),
        });
      }),
    );
  routes
    .command('watch <table>')
    .description('show each change of a table: leaders, bounds, nodes; one a line, until interrupted')
    .addOption(secondsOption('--for <seconds>', 'end after this long', WATCH_SECONDS_MAX))
    .action(
      run(async (context, options: { for: number }, table: string) => {
        await watch(context, table, options.for * 1000);
      }),
    );
  program
    .command('decisions')
    .description('what the control plane decided and why, newest first')
    .option('--shard <shard>', 'about this shard')
    .option('--node <node>', 'about this node')
    .option('--code <code>', 'with this outcome, for example NO_CANDIDATE')
    .option('--since <time>', 'not before this time, ISO 8601 in UTC')
    .addOption(limitOption())
    .action(
      run(async (context, options: DecisionOptions) => {
        await listDecisions(context, options);
      }),
    );
}

async function watch(context: Context, table: string, forMs: number): Promise<void> {
  const { clock, timers } = context.io.environment;
  const endMs = clock.monotonicMs() + forMs;
  let cursor: string | null = null;
  for (;;) {
    const answer: ReturnType<typeof routeCalls.routeChanges.response.parse> = await context.call(
      routeCalls.routeChanges.response,
      {
        method: 'GET',
        path: `/routes/${encodeURIComponent(table)}/changes`,
        query: cursor === null ? { start: 'latest' } : { cursor },
      },
    );
    for (const route of answer.routes) show(context, route);
    for (const gone of answer.gone) {
      if (context.options.json) printJson(context, { gone });
      else context.io.out(`${gone.shard_id}  merged into its left neighbour\n`);
    }
    cursor = answer.next_cursor;
    const leftMs = endMs - clock.monotonicMs();
    if (leftMs <= 0) return;
    await timers.sleep(Math.min(answer.poll_after_ms, leftMs));
  }
}

function show(context: Context, route: Route): void {
  if (context.options.json) {
    printJson(context, { route });
    return;
  }
  const bounds = `[${showKey(route.start_key, 'start')}, ${showKey(route.end_key, 'end')})`;
  const nodes = route.replicas.map((replica) => replica.node_id).join(', ');
  context.io.out(
    `${route.shard_id}  generation ${route.generation}  epoch ${route.epoch}  ${route.leader.node_id}  ${bounds}  on ${nodes}\n`,
  );
}

async function listDecisions(context: Context, options: DecisionOptions): Promise<void> {
  if (options.shard !== undefined && options.node !== undefined)
    throw new CliError(EXIT.USAGE, 'USAGE', 'name a shard or a node, not both');
  const entity =
    options.shard !== undefined
      ? `shard:${options.shard}`
      : options.node !== undefined
        ? `node:${options.node}`
        : undefined;
  const pages = context.pages(async (page) => {
    const answer = await context.call(decisionCalls.listDecisions.response, {
      method: 'GET',
      path: '/decisions',
      query: { ...page, entity, code: options.code, since: options.since },
    });
    return { items: answer.decisions, next_cursor: answer.next_cursor };
  }, options.limit);
  const { items, end } = await collect(pages);
  printTable(
    context,
    { decisions: items, more: end.more },
    ['at', 'entity', 'kind', 'code', 'by', 'rejected', 'outcome'],
    items.map((decision) => [
      decision.at,
      decision.entity,
      decision.kind,
      decision.code,
      decision.principal,
      decision.rejected.map(({ candidate, code }) => `${candidate} ${code}`).join(', ') || null,
      JSON.stringify(decision.outcome),
    ]),
  );
  tellMore(context, end);
}
