import type { Command } from 'commander';
import { nodeCalls } from '../../shared/contracts/api/nodes.ts';
import { addNodeCareCommands } from './node-care.ts';
import { addLabelCommand, labelsInWords } from './placement.ts';
import type { Run } from '../program.ts';
import { limitOption } from '../program.ts';
import { collect, printFields, printTable, tellMore } from '../output.ts';

export function addNodeCommands(program: Command, run: Run): void {
  const nodes = program.command('nodes').description('nodes of the cluster');
  addNodeCareCommands(nodes, run);
  addLabelCommand(nodes, run);
  nodes
    .command('list')
    .description('list nodes by id')
    .addOption(limitOption())
    .action(
      run(async (context, { limit }: { limit: number }) => {
        const pages = context.pages(async (page) => {
          const answer = await context.call(nodeCalls.listNodes.response, {
            method: 'GET',
            path: '/cluster/nodes',
            query: page,
          });
          return { items: answer.nodes, next_cursor: answer.next_cursor };
        }, limit);
        const { items, end } = await collect(pages);
        printTable(
          context,
          { nodes: items, more: end.more },
          ['node', 'address', 'zone', 'status', 'shards', 'epoch', 'last heartbeat'],
          items.map((node) => [
            node.node_id,
            `${node.host}:${node.port}`,
            node.zone,
            node.cordoned ? `${node.status} (cordoned)` : node.status,
            node.shards,
            node.node_epoch,
            node.last_heartbeat,
          ]),
        );
        tellMore(context, end);
      }),
    );
  nodes
    .command('get <node>')
    .description('show one node')
    .action(
      run(async (context, _options, node: string) => {
        const answer = await context.call(nodeCalls.getNode.response, {
          method: 'GET',
          path: `/cluster/nodes/${encodeURIComponent(node)}`,
        });
        printFields(context, answer, { ...answer, labels: labelsInWords(answer.labels) });
      }),
    );
  program
    .command('join-token')
    .description('tokens by which new nodes join')
    .command('create')
    .description('issue a single-use join token')
    .option('--lifetime <seconds>', 'seconds until it expires', Number)
    .action(
      run(async (context, options: { lifetime?: number }) => {
        const answer = await context.call(nodeCalls.createJoinToken.response, {
          method: 'POST',
          path: '/cluster/join-tokens',
          body: options.lifetime === undefined ? {} : { lifetime_seconds: options.lifetime },
          idempotencyKey: context.newIdempotencyKey(),
        });
        printFields(context, answer, {
          token_id: answer.token_id,
          expires_at: answer.expires_at,
          join_token: answer.join_token,
        });
      }),
    );
}
