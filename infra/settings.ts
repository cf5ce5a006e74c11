import type { Node } from 'constructs';

/** Choices of a deployment, from `cdk deploy -c name=value`. */
export interface DeploymentSettings {
  /** Start of every physical name: several clusters may live in one account. */
  readonly prefix: string;
  readonly leaseProfile: 'fast' | 'standard' | 'economy';
  readonly defaultReplicationFactor: number;
  /** 'emulator' leaves out what only AWS has; template tests look at 'aws'. */
  readonly target: 'aws' | 'emulator';
}

const PREFIX_PATTERN = /^[a-z][a-z0-9-]{1,30}$/;

/** Reads the context. Throws with the name of the value at fault. */
export function readSettings(node: Node): DeploymentSettings {
  const text = (name: string, fallback: string): string => {
    const value: unknown = node.tryGetContext(name);
    if (value === undefined) return fallback;
    if (typeof value === 'string' || typeof value === 'number') return String(value);
    throw new Error(`context ${name} must be text`);
  };
  const prefix = text('prefix', 'shardkeeper');
  if (!PREFIX_PATTERN.test(prefix)) throw new Error(`context prefix must match ${PREFIX_PATTERN.source}`);
  const leaseProfile = text('lease', 'standard');
  if (leaseProfile !== 'fast' && leaseProfile !== 'standard' && leaseProfile !== 'economy') {
    throw new Error('context lease must be fast, standard or economy');
  }
  const target = text('target', 'aws');
  if (target !== 'aws' && target !== 'emulator') throw new Error('context target must be aws or emulator');
  const defaultReplicationFactor = Number(text('replicationFactor', '3'));
  if (!Number.isInteger(defaultReplicationFactor) || defaultReplicationFactor < 1 || defaultReplicationFactor > 9) {
    throw new Error('context replicationFactor must be a whole number from 1 to 9');
  }
  return { prefix, leaseProfile, defaultReplicationFactor, target };
}
