import type { ReplicationConfig } from '../domain/records.ts';
import { ok } from '../domain/result.ts';
import type { Deps } from '../ports.ts';
import type { UseCase } from './types.ts';

/** Central configuration, as far as it stands: the replication of new tables. */

export const REPLICATION_CONFIG_KEY = 'replication';

/** The stored value, else the deployment's default. */
export async function replicationConfig(deps: Deps): Promise<ReplicationConfig> {
  const stored = await deps.records.get('config', { configKey: REPLICATION_CONFIG_KEY });
  if (stored === null) return { replicationFactor: deps.settings.defaultReplicationFactor, strategy: 'rack-aware' };
  return stored.value.configValue as unknown as ReplicationConfig;
}

export const getReplicationConfig: UseCase<'getReplicationConfig'> = async (deps) => {
  const config = await replicationConfig(deps);
  return ok({ replication_factor: config.replicationFactor, strategy: config.strategy });
};
