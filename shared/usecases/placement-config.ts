import { placementConfigSchema } from '../contracts/api/placement.ts';
import type { PlacementConfig, PlacementRuleBody } from '../contracts/api/placement.ts';
import { conflict } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { nodeId } from '../domain/ids.ts';
import { allows, ruleInWords } from '../domain/rebalance/rules.ts';
import type { PlacementRules, TableRule } from '../domain/rebalance/rules.ts';
import type { NodeRecord } from '../domain/records.ts';
import { Bug, err, ok } from '../domain/result.ts';
import type { Deps, Stored } from '../ports.ts';
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
  if (body.force !== true) {
    const refused = await unsatisfiable(deps, body.rules);
    if (refused !== null) return err(refused);
  }
  const stored = await deps.records.get('config', { configKey: CONFIG_KEY });
  const value: PlacementConfig = { rules: body.rules };
  return saveConfig(deps, principal, CONFIG_KEY, stored, value);
};

/** The first rule that no member of the cluster satisfies. Cordoned and dead nodes count: they come back, or somebody decides about them. */
async function unsatisfiable(deps: Deps, bodies: readonly PlacementRuleBody[]): Promise<Fault | null> {
  const rules = bodies.map(toRule);
  if (rules.every(({ required, forbidden }) => required.length + forbidden.length === 0)) return null;
  const members = (await everyRecord(deps, 'node', {})).filter(({ membership }) => membership === 'ACTIVE');
  const index = rules.findIndex((rule) => !members.some((node) => allows(rule, placementOf(node).labels)));
  const rule = rules[index];
  if (rule === undefined) return null;
  return conflict(
    'PLACEMENT_UNSATISFIABLE',
    `No node satisfies ${ruleInWords(rule, index)}. Label nodes first (PUT /cluster/nodes/{node_id}/placement), or set force.`,
    { detail: { rule: index } },
  );
}

/** Members that may take replicas under a rule: ACTIVE and not cordoned. */
export const mayHold = (rule: Parameters<typeof allows>[0], node: NodeRecord): boolean =>
  node.membership === 'ACTIVE' && !node.cordoned && allows(rule, placementOf(node).labels);

export const tooFewFor = (table: string, needed: number, available: number): Fault =>
  conflict(
    'NOT_ENOUGH_NODES',
    `Replication factor ${needed} needs as many nodes; the placement rule of table ${table} lets ${available} take replicas. Label more nodes, change the rule (GET /config/placement), or ask for a lower one.`,
    { detail: { needed, available } },
  );
