import { conflict } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import type { Json, ReplicationConfig } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Change, Deps, Principal, Stored } from '../ports.ts';
import { principalName } from './principal.ts';
import type { UseCase } from './types.ts';

/** Central configuration, as far as it stands: how any key is stored, and the replication of new tables. */

/**
 * What sets a key to `value`, as part of a commit: conditional on what was read of it (null: nothing is stored), and audited. Fields
 * without a value are left out.
 */
export function configWrites(
  deps: Deps,
  principal: Principal,
  configKey: string,
  stored: Stored<'config'> | null,
  value: object,
): Pick<Change, 'writes' | 'audit'> {
  const configValue = JSON.parse(JSON.stringify(value)) as Json;
  return {
    writes: [
      {
        kind: 'put',
        entity: 'config',
        value: { configKey, configValue, updatedAtMs: deps.clock.wallMs() },
        when: [stored === null ? { kind: 'absent' } : { kind: 'revision', is: stored.revision }],
      },
    ],
    audit: [
      {
        entity: `config:${configKey}`,
        number: (stored?.revision ?? 0) + 1,
        action: 'CONFIG_SET',
        principal: principalName(principal),
        detail: configValue,
      },
    ],
  };
}

/** Commits that alone; answers `value`. CONFLICT if the key was set since `stored` was read. */
export async function saveConfig<T extends object>(
  deps: Deps,
  principal: Principal,
  configKey: string,
  stored: Stored<'config'> | null,
  value: T,
): Promise<Result<T, Fault>> {
  const committed = await deps.records.commit({
    ...configWrites(deps, principal, configKey, stored, value),
    events: [],
  });
  return committed.ok
    ? ok(value)
    : err(conflict('CONFLICT', 'The configuration just changed. Send the request again.'));
}

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
