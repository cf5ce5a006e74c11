import { placementConfigSchema } from '../contracts/api/placement.ts';
import type { PlacementConfig } from '../contracts/api/placement.ts';
import { conflict } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { nodeId } from '../domain/ids.ts';
import {
  allows,
  barsNobody,
  barsTheSame,
  NO_RULE,
  ruleFor,
  ruleIndexFor,
  ruleInWords,
} from '../domain/rebalance/rules.ts';
import type { PlacementRules, TableRule } from '../domain/rebalance/rules.ts';
import type { NodeRecord } from '../domain/records.ts';
import { Bug, err, ok } from '../domain/result.ts';
import type { Deps, Stored } from '../ports.ts';
import { ableInWords, membersIn, readAbleNodes } from './able-nodes.ts';
import type { AbleNodes } from './able-nodes.ts';
import { saveConfig } from './config.ts';
import { everyRecord } from './every-record.ts';
import { placementOf } from './node-placement.ts';
import type { UseCase } from './types.ts';

/** Placement rules: configuration key `placement`. */

const CONFIG_KEY = 'placement';

/** The rules in force, and their revision (0: there never were any). One strong read. */
export async function placementRules(
  deps: Deps,
): Promise<{ readonly rules: PlacementRules; readonly revision: number }> {
  const stored = await deps.records.get('config', { configKey: CONFIG_KEY });
  return { rules: configOf(stored).rules.map(toRule), revision: stored?.revision ?? 0 };
}

/**
 * Other configuration counts as absent when it can't be read. Rules don't: without them replicas would be moved to where they must not be. Throws Bug.
 */
function configOf(stored: Stored<'config'> | null): PlacementConfig {
  if (stored === null) return { rules: [] };
  const parsed = placementConfigSchema.safeParse(stored.value.configValue);
  if (!parsed.success) throw new Bug(`configuration ${CONFIG_KEY} can't be read: set it anew`);
  return parsed.data;
}

const toRule = (rule: PlacementConfig['rules'][number]): TableRule => ({
  tables: rule.tables,
  required: rule.required,
  forbidden: rule.forbidden,
  leaderPreference:
    rule.leader_preference === null
      ? null
      : { nodes: rule.leader_preference.nodes.map(nodeId), zones: rule.leader_preference.zones },
});

export const getPlacementConfig: UseCase<'getPlacementConfig'> = async (deps) =>
  ok(configOf(await deps.records.get('config', { configKey: CONFIG_KEY })));

export const setPlacementConfig: UseCase<'setPlacementConfig'> = async (deps, principal, { body }) => {
  const stored = await deps.records.get('config', { configKey: CONFIG_KEY });
  if (body.force !== true) {
    const refused = await unsatisfiable(deps, body.rules.map(toRule), readableRules(stored));
    if (refused !== null) return err(refused);
  }
  const value: PlacementConfig = { rules: body.rules };
  return saveConfig(deps, principal, CONFIG_KEY, stored, value);
};

/** What is in force, where only a comparison depends on it: none if it can't be read, so that it can be set anew. */
function readableRules(stored: Stored<'config'> | null): PlacementRules {
  const parsed = placementConfigSchema.safeParse(stored?.value.configValue);
  return parsed.success ? parsed.data.rules.map(toRule) : [];
}

/**
 * Why the rules can't be taken: one that no member of the cluster satisfies is a typing error, most often (a cluster without members has rules
 * first); one that leaves a table fewer nodes than copies would leave its copies where they must not be. What was in force for a table already is
 * not judged again: it may be broken because a node is down just now, which must not keep other rules from being set.
 */
async function unsatisfiable(deps: Deps, rules: PlacementRules, inForce: PlacementRules): Promise<Fault | null> {
  if (rules.every(barsNobody)) return null;
  const [nodesUnder, tables] = await Promise.all([readAbleNodes(deps), everyRecord(deps, 'table', {})]);
  if (membersIn(nodesUnder(NO_RULE)) > 0) {
    const index = rules.findIndex((rule) => membersIn(nodesUnder(rule)) === 0);
    const rule = rules[index];
    if (rule !== undefined) return noMemberFor(rule, index);
  }
  const counted = rules.map(nodesUnder);
  for (const { table, replicationFactor, state } of tables) {
    const index = ruleIndexFor(rules, table);
    const [rule, nodes] = [rules[index], counted[index]];
    if (rule === undefined || nodes === undefined || state === 'DELETING') continue;
    if (nodes.able >= replicationFactor || barsTheSame(rule, ruleFor(inForce, table))) continue;
    return tooFewUnder(rule, index, nodes, { table, needed: replicationFactor });
  }
  return null;
}

const noMemberFor = (rule: TableRule, index: number): Fault =>
  conflict(
    'PLACEMENT_UNSATISFIABLE',
    `No node satisfies ${ruleInWords(rule, index)}. Label nodes first (PUT /cluster/nodes/{node_id}/placement), or set force.`,
    { detail: { rule: index } },
  );

const tooFewUnder = (
  rule: TableRule,
  index: number,
  nodes: AbleNodes,
  { table, needed }: { readonly table: string; readonly needed: number },
): Fault =>
  conflict(
    'PLACEMENT_UNSATISFIABLE',
    `Table ${table} has ${needed} copies, and ${ruleInWords(rule, index)} leaves it ${ableInWords(nodes)}. Label more nodes first (PUT /cluster/nodes/{node_id}/placement), uncordon some, lower the table's replication factor, or set force: copies that find no place stay where they are.`,
    { detail: { rule: index, table, needed, available: nodes.able, cordoned: nodes.cordoned, down: nodes.down } },
  );

/** Members that may take replicas under a rule: ACTIVE and not cordoned. */
export const mayHold = (rule: Parameters<typeof allows>[0], node: NodeRecord): boolean =>
  node.membership === 'ACTIVE' && !node.cordoned && allows(rule, placementOf(node).labels);

/** Fewer nodes that can take replicas of `table` than copies. `rule`: the table's; null: it has none. */
export const tooFewFor = (rule: { readonly table: string } | null, needed: number, nodes: AbleNodes): Fault =>
  conflict(
    'NOT_ENOUGH_NODES',
    rule === null
      ? `Replication factor ${needed} needs as many nodes; there are ${ableInWords(nodes)}. Add nodes, uncordon some or bring them back, or ask for a lower one.`
      : `Replication factor ${needed} needs as many nodes; the placement rule of table ${rule.table} leaves ${ableInWords(nodes)}. Label more nodes, uncordon some or bring them back, change the rule (GET /config/placement), or ask for a lower one.`,
    { detail: { needed, available: nodes.able, cordoned: nodes.cordoned, down: nodes.down } },
  );
