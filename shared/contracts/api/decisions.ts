import * as z from 'zod';
import { jsonSchema, pageAnswer, pageQuery, timestampSchema } from '../primitives.ts';
import type { Call } from './call.ts';

const ENTITY_CHARS_MAX = 200;
const CODE_CHARS_MAX = 64;

export const decisionSchema = z.object({
  decision_id: z.string(),
  entity: z.string(),
  kind: z.string(),
  code: z.string(),
  principal: z.string(),
  at: timestampSchema,
  /** What the decision was given; enough to make it again. */
  inputs: jsonSchema,
  rejected: z.array(z.object({ candidate: z.string(), code: z.string() })),
  outcome: jsonSchema,
});

/** What the control plane decided, and why. */
export const decisionCalls = {
  listDecisions: {
    method: 'GET',
    path: '/decisions',
    resource: 'auth',
    summary: 'Decisions of the control plane with their inputs and rejections, newest first; kept for 30 days',
    callers: ['admin'],
    query: z.strictObject({
      ...pageQuery,
      /** `shard:<id>`, `node:<id>`, `operation:<id>` or `cluster`; all if left out. */
      entity: z.string().min(1).max(ENTITY_CHARS_MAX).optional(),
      /** ELECTED, NO_CANDIDATE, FENCED ... */
      code: z
        .string()
        .regex(/^[A-Z][A-Z_]*$/)
        .max(CODE_CHARS_MAX)
        .optional(),
      since: timestampSchema.optional(),
    }),
    /** A page may hold fewer than `limit`, even none, and still have a next one: those that do not fit are passed over. */
    response: z.object({ decisions: z.array(decisionSchema), ...pageAnswer }),
  },
} as const satisfies Record<string, Call>;
