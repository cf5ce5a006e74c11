import { allows, ruleIndexFor, ruleInWords } from '../domain/rebalance/rules.ts';
import type { TableRecord } from '../domain/records.ts';
import type { Deps } from '../ports.ts';
import { everyRecord } from './every-record.ts';
import { placementOf } from './node-placement.ts';
import { placementRules } from './placement-config.ts';

/** Tables named one by one; of more of them these tell enough. */
const TABLES_SHOWN_MAX = 20;

/**
 * Rules that let fewer members of the cluster hold a table than it has copies: taken by force, or true no more since labels changed or nodes left.
 * Cordoned and dead members count, as they are told of elsewhere.
 */
export async function placementProblems(deps: Deps, tables: readonly TableRecord[]): Promise<readonly string[]> {
  const { rules } = await placementRules(deps);
  if (rules.length === 0) return [];
  const members = (await everyRecord(deps, 'node', {})).filter(({ membership }) => membership === 'ACTIVE');
  const able = rules.map((rule) => members.filter((node) => allows(rule, placementOf(node).labels)).length);
  const problems = tables.flatMap(({ table, replicationFactor }) => {
    const index = ruleIndexFor(rules, table);
    const [rule, nodes] = [rules[index], able[index]];
    if (rule === undefined || nodes === undefined || nodes >= replicationFactor) return [];
    return [
      `Table ${table} has ${replicationFactor} copies, and ${ruleInWords(rule, index)} leaves it ${nodes} nodes: copies stay where they are, and lost ones are not replaced. Label nodes, or change the rule (GET /config/placement).`,
    ];
  });
  return problems.slice(0, TABLES_SHOWN_MAX);
}
