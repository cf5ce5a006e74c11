import type { Command } from 'commander';
import { nodeCalls } from '../../shared/contracts/api/nodes.ts';
import { placementCalls } from '../../shared/contracts/api/placement.ts';
import type { PlacementConfig } from '../../shared/contracts/api/placement.ts';
import type { Context } from '../context.ts';
import { CliError, EXIT } from '../exit.ts';
import { printFields, printTable } from '../output.ts';
import type { Run } from '../program.ts';

/** `shardctl placement get|set`, `shardctl nodes label`. */

export function addPlacementCommands(program: Command, run: Run): void {
  const placement = program
    .command('placement')
    .description("placement rules: which nodes may hold a table's replicas and should lead them");
  placement
    .command('get')
    .description('show the rules in order; the first that names a table is its only one')
    .action(
      run(async (context) => {
        const answer = await context.call(placementCalls.getPlacementConfig.response, {
          method: 'GET',
          path: '/config/placement',
        });
        printRules(context, answer);
      }),
    );
  placement
    .command('set <file>')
    .description('replace all rules by those of a JSON file: {"rules": [...]}')
    .option('--force', 'also take rules that no present node satisfies')
    .action(
      run(async (context, options: { force?: boolean }, file: string) => {
        const answer = await context.call(placementCalls.setPlacementConfig.response, {
          method: 'PUT',
          path: '/config/placement',
          // What is no rule is refused by the control plane, which names the field.
          body: { ...readRules(context, file), ...(options.force === true ? { force: true } : {}) },
          idempotencyKey: context.newIdempotencyKey(),
        });
        printRules(context, answer);
      }),
    );
}

/** `shardctl nodes label <node> disk=ssd old- --weight 2`: labels are added, changed and (by a `-` at the end) taken away. */
export function addLabelCommand(nodes: Command, run: Run): void {
  nodes
    .command('label <node> [changes...]')
    .description('change labels of a node (key=value sets one, key- takes one away) and its capacity weight')
    .option('--weight <weight>', 'capacity relative to the other nodes, 0.01 to 100', Number)
    .action(
      // The list of changes comes as one argument, joined by commas, which no label holds.
      run(async (context, options: { weight?: number }, node: string, changes: string) => {
        const path = `/cluster/nodes/${encodeURIComponent(node)}`;
        const list = changes.split(',').filter((change) => change !== '');
        const seen = list.length === 0 ? null : await context.read(nodeCalls.getNode.response, { method: 'GET', path });
        const labels = seen === null ? undefined : changed(seen.answer.labels, list);
        const answer = await context.call(placementCalls.setNodePlacement.response, {
          method: 'PUT',
          path: `${path}/placement`,
          body: {
            ...(labels === undefined ? {} : { labels }),
            ...(options.weight === undefined ? {} : { capacity_weight: options.weight }),
          },
          idempotencyKey: context.newIdempotencyKey(),
          // Labels are set as a whole: what somebody else changed since they were read is not overwritten.
          ...(seen === null || seen.etag === null ? {} : { ifMatch: seen.etag }),
        });
        const { message, capacity_weight } = answer;
        printFields(context, answer, { message, labels: labelsInWords(answer.labels), capacity_weight });
      }),
    );
}

function changed(before: Readonly<Record<string, string>>, changes: readonly string[]): Record<string, string> {
  const labels = new Map(Object.entries(before));
  for (const change of changes) {
    const at = change.indexOf('=');
    if (at > 0) labels.set(change.slice(0, at), change.slice(at + 1));
    else if (change.endsWith('-')) labels.delete(change.slice(0, -1));
    else
      throw new CliError(
        EXIT.USAGE,
        'USAGE',
        `${change} is no label: write key=value to set one, key- to take it away`,
      );
  }
  return Object.fromEntries(labels);
}

export const labelsInWords = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ') || '-';

function readRules(context: Context, file: string): Readonly<Record<string, unknown>> {
  const text = context.io.readFile(file);
  if (text === null) throw new CliError(EXIT.USAGE, 'USAGE', `${file} can't be read`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CliError(EXIT.USAGE, 'USAGE', `${file} is no JSON: ${why}`);
  }
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed))
    return parsed as Readonly<Record<string, unknown>>;
  throw new CliError(EXIT.USAGE, 'USAGE', `${file} must hold an object with the field rules`);
}

type Shown = PlacementConfig['rules'][number];

const constraints = (list: Shown['required']): string =>
  list.map(({ key, values }) => `${key}=${values.join('|')}`).join(' ') || '-';

const preference = ({ leader_preference: wish }: Shown): string =>
  wish === null ? '-' : [...wish.nodes, ...wish.zones.map((zone) => `zone ${zone}`)].join(', ') || '-';

const printRules = (context: Context, answer: PlacementConfig): void =>
  printTable(
    context,
    answer,
    ['rule', 'tables', 'requires', 'forbids', 'leaders on'],
    answer.rules.map((rule, index) => [
      index + 1,
      rule.tables.join(', '),
      constraints(rule.required),
      constraints(rule.forbidden),
      preference(rule),
    ]),
  );
