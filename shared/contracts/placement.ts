import * as z from 'zod';

/** What a node is good for, as nodes and operators say it. */

/** Labels of one node: enough for hardware, location and purpose; a node's record stays far below the store's 400 KB. */
export const LABELS_MAX = 16;

const labelText = (what: string) =>
  z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/, {
    error: `a label's ${what} is 1 to 63 letters, digits and . _ / - , and starts with a letter or digit`,
  });
export const labelKeySchema = labelText('key');
export const labelValueSchema = labelText('value');

/** For example `{"disk": "ssd", "rack": "r12"}`. */
export const labelsSchema = z
  .record(labelKeySchema, labelValueSchema)
  .refine((labels) => Object.keys(labels).length <= LABELS_MAX, { error: `at most ${LABELS_MAX} labels` });

/**
 * Capacity relative to the other nodes: a node of weight 2 gets twice the share of one of weight 1. A node so small that it should hold less than a
 * hundredth of another's data is better cordoned; shares near 0 have no meaningful deviation.
 */
export const capacityWeightSchema = z.number().min(0.01).max(100);
