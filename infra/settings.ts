import type { Node } from 'constructs';
import { STAGES, stagePolicies } from './stages.ts';
import type { Stage, StagePolicy } from './stages.ts';

/** Choices of a deployment, from `cdk deploy -c name=value`. */
export interface DeploymentSettings {
  /** The cluster: several may live in one account. */
  readonly cluster: string;
  readonly stage: Stage;
  readonly policy: StagePolicy;
  /** Start of every physical name: cluster and stage. */
  readonly prefix: string;
  /** null: the region of the CLI's environment. */
  readonly region: string | null;
  /** 'customer-key': tables, secret and queues under a KMS key of the account, whose use CloudTrail records. */
  readonly encryption: 'aws' | 'customer-key';
  readonly leaseProfile: 'fast' | 'standard' | 'economy';
  readonly defaultReplicationFactor: number;
  /** 'shared': for accounts whose concurrency quota leaves nothing to reserve (new ones have 10); a lease keeps loops apart anyway. */
  readonly detectorConcurrency: 'reserved' | 'shared';
  /** 'emulator' leaves out what only AWS has; template tests look at 'aws'. */
  readonly target: 'aws' | 'emulator';
}

const PREFIX_PATTERN = /^[a-z][a-z0-9-]{1,30}$/;
const REGION_PATTERN = /^[a-z]{2}(-[a-z]+)+-[0-9]$/;
const REPLICATION_FACTOR_MAX = 9;

/** Reads the context. Throws with the name of the value at fault. */
export function readSettings(node: Node): DeploymentSettings {
  const text = (name: string, fallback: string): string => {
    const value: unknown = node.tryGetContext(name);
    if (value === undefined) return fallback;
    if (typeof value === 'string' || typeof value === 'number') return String(value);
    throw new Error(`context ${name} must be text`);
  };
  const oneOf = <T extends string>(name: string, values: readonly T[], fallback: T): T => {
    const given = text(name, fallback);
    const value = values.find((candidate) => candidate === given);
    if (value === undefined) throw new Error(`context ${name} must be one of ${values.join(', ')}`);
    return value;
  };
  const cluster = text('prefix', 'shardkeeper');
  if (!PREFIX_PATTERN.test(cluster)) throw new Error(`context prefix must match ${PREFIX_PATTERN.source}`);
  const region = text('region', '');
  if (region !== '' && !REGION_PATTERN.test(region)) throw new Error('context region must be one like eu-central-1');
  const defaultReplicationFactor = Number(text('replicationFactor', '3'));
  if (
    !Number.isInteger(defaultReplicationFactor) ||
    defaultReplicationFactor < 1 ||
    defaultReplicationFactor > REPLICATION_FACTOR_MAX
  ) {
    throw new Error(`context replicationFactor must be a whole number from 1 to ${REPLICATION_FACTOR_MAX}`);
  }
  // A forgotten stage must never touch production: names carry the stage, so that it makes one more environment.
  const stage = oneOf('stage', STAGES, 'dev');
  return {
    cluster,
    stage,
    policy: stagePolicies[stage],
    prefix: `${cluster}-${stage}`,
    region: region === '' ? null : region,
    encryption: oneOf('encryption', ['aws', 'customer-key'], 'aws'),
    leaseProfile: oneOf('lease', ['fast', 'standard', 'economy'], 'standard'),
    defaultReplicationFactor,
    detectorConcurrency: oneOf('detectorConcurrency', ['reserved', 'shared'], 'reserved'),
    target: oneOf('target', ['aws', 'emulator'], 'aws'),
  };
}
