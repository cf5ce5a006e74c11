import type { NodeId, TableName } from '../ids.ts';

/** Placement rules: which nodes may hold a table's replicas, and which should lead them. */

/** Labels of a node, for example `{ disk: 'ssd' }`. */
export type NodeLabels = Readonly<Record<string, string>>;

/** True of a node whose label `key` has one of `values`. */
export interface LabelConstraint {
  readonly key: string;
  readonly values: readonly string[];
}

/** Earlier is better: a named node before a named zone before all others. Wishes, never a reason to leave a shard without a leader. */
export interface LeaderPreference {
  readonly nodes: readonly NodeId[];
  readonly zones: readonly string[];
}

export interface PlacementRule {
  /** All of them must hold. */
  readonly required: readonly LabelConstraint[];
  /** None of them may hold. */
  readonly forbidden: readonly LabelConstraint[];
  readonly leaderPreference: LeaderPreference | null;
}

/** The rule of tables without one: every node, no preference. */
export const NO_RULE: PlacementRule = { required: [], forbidden: [], leaderPreference: null };

const matches = (labels: NodeLabels, constraint: LabelConstraint): boolean => {
  // Labels come from callers: a key that objects have by themselves is no label.
  const value = Object.hasOwn(labels, constraint.key) ? labels[constraint.key] : undefined;
  return value !== undefined && constraint.values.includes(value);
};

/** True if a node with `labels` may hold replicas under `rule`. */
export function allows(rule: PlacementRule, labels: NodeLabels): boolean {
  return (
    rule.required.every((constraint) => matches(labels, constraint)) &&
    !rule.forbidden.some((constraint) => matches(labels, constraint))
  );
}

/** True of a rule that is a wish about leaders alone. */
export const barsNobody = ({ required, forbidden }: PlacementRule): boolean => required.length + forbidden.length === 0;

/** True if both let the same nodes hold replicas, however they are labelled; two ways of saying the same count as different. */
export function barsTheSame(a: PlacementRule, b: PlacementRule): boolean {
  const textOf = ({ required, forbidden }: PlacementRule): string =>
    JSON.stringify([required, forbidden].map((all) => all.map(({ key, values }) => [key, values])));
  return textOf(a) === textOf(b);
}

/** How welcome a leader is on a node: 0 is best. Without a preference all nodes are 0. */
export function leaderRank(rule: PlacementRule, node: { readonly nodeId: NodeId; readonly zone: string }): number {
  const preference = rule.leaderPreference;
  if (preference === null) return 0;
  if (preference.nodes.includes(node.nodeId)) return 0;
  if (preference.zones.includes(node.zone)) return 1;
  return 2;
}

/** Stands for every table. */
export const EVERY_TABLE = '*';

/** A rule and the tables it is for. */
export interface TableRule extends PlacementRule {
  /** Names, of tables that exist or will, or `EVERY_TABLE`. */
  readonly tables: readonly string[];
}

/** The cluster's rules in order: the first that names a table is the table's only one. */
export type PlacementRules = readonly TableRule[];

/** Position of a table's rule, -1 if none names it. */
export const ruleIndexFor = (rules: PlacementRules, table: TableName): number =>
  rules.findIndex(({ tables }) => tables.includes(EVERY_TABLE) || tables.includes(table));

/** The rule of a table; `NO_RULE` if none names it. */
export const ruleFor = (rules: PlacementRules, table: TableName): PlacementRule =>
  rules[ruleIndexFor(rules, table)] ?? NO_RULE;

/** The rule that bars a node with `labels` from replicas of `table`, in words; null if it may hold them. */
export function barredBy(rules: PlacementRules, table: TableName, labels: NodeLabels): string | null {
  const index = ruleIndexFor(rules, table);
  const rule = rules[index];
  return rule === undefined || allows(rule, labels) ? null : ruleInWords(rule, index);
}

/** `placement rule 2 (tables orders, users; requires disk=ssd|nvme; forbids tier=cold)`. Counted from 1, as people read a list. */
export function ruleInWords(rule: TableRule, index: number): string {
  const named = ({ key, values }: LabelConstraint): string => `${key}=${values.join('|')}`;
  const parts = [
    rule.tables.includes(EVERY_TABLE) ? 'every table' : `tables ${rule.tables.join(', ')}`,
    ...rule.required.map((constraint) => `requires ${named(constraint)}`),
    ...rule.forbidden.map((constraint) => `forbids ${named(constraint)}`),
  ];
  return `placement rule ${index + 1} (${parts.join('; ')})`;
}
