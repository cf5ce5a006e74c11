import type { Command } from 'commander';
import { clusterCalls } from '../../shared/contracts/api/nodes.ts';
import { systemCalls } from '../../shared/contracts/api/system.ts';
import type { Run } from '../program.ts';
import { limitOption } from '../program.ts';
import { collect, printFields, printTable, tellMore } from '../output.ts';

export function addClusterCommands(program: Command, run: Run): void {
  program
    .command('health')
    .description('health of the cluster')
    .action(
      run(async (context) => {
        const answer = await context.call(clusterCalls.clusterHealth.response, {
          method: 'GET',
          path: '/cluster/health',
        });
        const { nodes, detector } = answer;
        printFields(context, answer, {
          status: answer.status,
          nodes: `${nodes.healthy} healthy, ${nodes.unhealthy} unhealthy, ${nodes.decommissioning} decommissioning`,
          tables: answer.tables,
          open_fences: answer.open_fences.map((fence) => `${fence.node_id}@${fence.node_epoch}`).join(', ') || 'none',
          detector: detector.holder ?? 'none',
          brake: detector.braked ? (detector.brake_reason ?? 'engaged') : 'off',
          // One a line: each says what is wrong and what to do.
          problems: answer.problems.join('\n          ') || 'none',
        });
      }),
    );
  program
    .command('endpoints')
    .description('addresses of the hot calls (heartbeats, routes)')
    .action(
      run(async (context) => {
        const answer = await context.call(systemCalls.clusterEndpoints.response, {
          method: 'GET',
          path: '/cluster/endpoints',
        });
        const { url } = context.options;
        printFields(context, answer, { heartbeats: answer.heartbeats ?? url, routes: answer.routes ?? url });
      }),
    );
  program
    .command('audit <entity>')
    .description('audit entries of one entity, newest first, for example "node:node-101"')
    .addOption(limitOption())
    .action(
      run(async (context, { limit }: { limit: number }, entity: string) => {
        const pages = context.pages(async (page) => {
          const answer = await context.call(systemCalls.listAudit.response, {
            method: 'GET',
            path: '/audit',
            query: { ...page, entity },
          });
          return { items: answer.entries, next_cursor: answer.next_cursor };
        }, limit);
        const { items, end } = await collect(pages);
        printTable(
          context,
          { entries: items, more: end.more },
          ['number', 'at', 'action', 'by', 'detail'],
          items.map((entry) => [entry.number, entry.at, entry.action, entry.principal, JSON.stringify(entry.detail)]),
        );
        tellMore(context, end);
      }),
    );
}
