import type { NodeId } from '../ids.ts';

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
  const value = labels[constraint.key];
  return value !== undefined && constraint.values.includes(value);
};

/** True if a node with `labels` may hold replicas under `rule`. */
export function allows(rule: PlacementRule, labels: NodeLabels): boolean {
  return (
    rule.required.every((constraint) => matches(labels, constraint)) &&
    !rule.forbidden.some((constraint) => matches(labels, constraint))
  );
}

/** How welcome a leader is on a node: 0 is best. Without a preference all nodes are 0. */
export function leaderRank(rule: PlacementRule, node: { readonly nodeId: NodeId; readonly zone: string }): number {
  const preference = rule.leaderPreference;
  if (preference === null) return 0;
  if (preference.nodes.includes(node.nodeId)) return 0;
  if (preference.zones.includes(node.zone)) return 1;
  return 2;
}
