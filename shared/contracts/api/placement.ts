import * as z from 'zod';
import { EVERY_TABLE } from '../../domain/rebalance/rules.ts';
import { capacityWeightSchema, labelKeySchema, labelsSchema, labelValueSchema } from '../placement.ts';
import { nodeIdSchema, tableNameSchema, zoneSchema } from '../primitives.ts';
import type { Call } from './call.ts';

/** Which nodes may hold a table's replicas, which should lead them, and what nodes are good for. */

/** The bounds keep the rules, all of them at their longest, at some 220 KB: one stored item (400 KB), with its audit entry another. */
export const RULES_MAX = 20;
const TABLES_PER_RULE_MAX = 50;
const CONSTRAINTS_MAX = 4;
const VALUES_MAX = 8;
const PREFERRED_MAX = 16;

const constraintSchema = z.strictObject({
  key: labelKeySchema,
  /** True of a node whose label has one of them. */
  values: z.array(labelValueSchema).min(1).max(VALUES_MAX),
});

const ruleSchema = z.strictObject({
  /** `*` is every table. A table need not exist yet: so its first shards are placed by the rule. */
  tables: z
    .array(z.union([z.literal(EVERY_TABLE), tableNameSchema]))
    .min(1)
    .max(TABLES_PER_RULE_MAX),
  /** All of them must hold. */
  required: z.array(constraintSchema).max(CONSTRAINTS_MAX).default([]),
  /** None of them may hold. */
  forbidden: z.array(constraintSchema).max(CONSTRAINTS_MAX).default([]),
  /** A wish: named nodes before named zones before all others. */
  leader_preference: z
    .strictObject({
      nodes: z.array(nodeIdSchema).max(PREFERRED_MAX).default([]),
      zones: z.array(zoneSchema).max(PREFERRED_MAX).default([]),
    })
    .nullable()
    .default(null),
});
export type PlacementRuleBody = z.infer<typeof ruleSchema>;

const shownConstraint = z.object({ key: z.string(), values: z.array(z.string()) });

/** As it is stored and shown: without bounds, so that what a later release stored is read. */
export const placementConfigSchema = z.object({
  rules: z.array(
    z.object({
      tables: z.array(z.string()),
      required: z.array(shownConstraint),
      forbidden: z.array(shownConstraint),
      leader_preference: z.object({ nodes: z.array(z.string()), zones: z.array(z.string()) }).nullable(),
    }),
  ),
});
export type PlacementConfig = z.infer<typeof placementConfigSchema>;

export const placementCalls = {
  getPlacementConfig: {
    method: 'GET',
    path: '/config/placement',
    resource: 'config',
    revisionOf: 'config',
    summary: 'Placement rules in order; the first that names a table is its only one',
    callers: ['admin'],
    response: placementConfigSchema,
  },
  setPlacementConfig: {
    method: 'PUT',
    path: '/config/placement',
    resource: 'config',
    revisionOf: 'config',
    summary: 'Replace all placement rules; rebalances bring the cluster to them',
    callers: ['admin'],
    idempotent: true,
    body: z.strictObject({
      rules: z.array(ruleSchema).max(RULES_MAX),
      /** Takes also rules that no present node satisfies. */
      force: z.boolean().optional(),
    }),
    response: placementConfigSchema,
  },
  setNodePlacement: {
    method: 'PUT',
    path: '/cluster/nodes/{node_id}/placement',
    resource: 'nodes',
    revisionOf: 'node',
    summary: "Set a node's labels and capacity weight; its registrations change them no more",
    callers: ['admin'],
    idempotent: true,
    params: z.strictObject({ node_id: nodeIdSchema }),
    body: z.strictObject({
      /** All labels of the node; missing: they stay as they are. */
      labels: labelsSchema.optional(),
      /** Missing: it stays as it is. */
      capacity_weight: capacityWeightSchema.optional(),
    }),
    response: z.object({
      status: z.literal('success'),
      message: z.string(),
      node_id: nodeIdSchema,
      labels: labelsSchema,
      capacity_weight: capacityWeightSchema,
    }),
  },
} as const satisfies Record<string, Call>;
