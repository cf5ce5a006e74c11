import * as z from 'zod';

/**
 * Environment variables of the Lambda functions, written down once: infra fills exactly these (`FunctionEnvironment`), the
 * functions parse exactly these. All values travel as text.
 */
export const STORE_TABLES = ['topology', 'liveness', 'catalog', 'operations', 'access', 'events'] as const;

const tableName = z.string().min(3).max(255);
const flag = z.enum(['true', 'false']).transform((text) => text === 'true');

export const environmentSchema = z.object({
  TABLE_TOPOLOGY: tableName,
  TABLE_LIVENESS: tableName,
  TABLE_CATALOG: tableName,
  TABLE_OPERATIONS: tableName,
  TABLE_ACCESS: tableName,
  TABLE_EVENTS: tableName,
  /** ARN of a state machine without its operation type: `arn:...:stateMachine:shardkeeper-`. */
  STATE_MACHINE_ARN_PREFIX: z.string().startsWith('arn:'),
  EVENT_BUS_NAME: z.string().min(1).max(256),
  /** ARNs of the root keys in KMS, by comma: the one that signs, then those that are honoured besides. */
  ROOT_KEY_IDS: z
    .string()
    .min(1)
    .max(2048)
    .transform((text) => text.split(',')),
  /** Addresses of the hot calls' Function URLs; only the function that tells them has them. */
  HEARTBEAT_URL: z.url().optional(),
  ROUTES_URL: z.url().optional(),
  LEASE_PROFILE: z.enum(['fast', 'standard', 'economy']),
  /** `true` if functions reach nodes (VPC): commands are pushed; else they ride on heartbeat answers only. */
  PUSH_TO_NODES: flag,
  DEFAULT_REPLICATION_FACTOR: z.coerce.number().int().min(1).max(9),
});

/** What a function works with. */
export type Environment = z.output<typeof environmentSchema>;
/** What infra writes: every variable that is not optional, as text. */
export type FunctionEnvironment = {
  readonly [K in keyof Required<Environment> as undefined extends Environment[K] ? never : K]: string;
};

/** Parses the environment of the process. Throws with the names of all variables at fault. */
export function readEnvironment(variables: Readonly<Record<string, string | undefined>>): Environment {
  const parsed = environmentSchema.safeParse(variables);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new Error(`environment variables missing or wrong: ${faults.join('; ')}`);
}
