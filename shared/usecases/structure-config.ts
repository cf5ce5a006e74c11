import { structureConfigSchema } from '../contracts/api/split-merge.ts';
import type { StructureConfig } from '../contracts/api/split-merge.ts';
import { conflict } from '../domain/faults.ts';
import type { TableName } from '../domain/ids.ts';
import { err, ok } from '../domain/result.ts';
import { DEFAULT_SPLIT_OPTIONS } from '../domain/split-reasons.ts';
import type { Deps } from '../ports.ts';
import { principalName } from './principal.ts';
import type { UseCase } from './types.ts';

/** Whether and when shards split and merge by themselves: configuration key `structure`. */

const CONFIG_KEY = 'structure';
const DEFAULTS: StructureConfig = {
  split: 'on',
  merge: 'on',
  split_bytes: DEFAULT_SPLIT_OPTIONS.bytesMax,
  splits_max: 4,
  merges_max: 1,
  tables: {},
};

export interface StructureSettings {
  readonly split: 'on' | 'off';
  readonly merge: 'on' | 'off';
  /** Operations of each kind that may be under way when the tick starts one. */
  readonly splitsMax: number;
  readonly mergesMax: number;
  /** Size below which no table's shards are split for their size. */
  readonly splitBytesLeast: number;
  /** For one table: what it sets itself, else the cluster's. */
  readonly of: (table: TableName) => {
    readonly split: 'on' | 'off';
    readonly merge: 'on' | 'off';
    readonly splitBytes: number;
  };
}

/** The settings in force; a stored value that is none of ours counts as absent. */
export async function structureSettings(deps: Deps): Promise<StructureSettings> {
  const config = configOf((await deps.records.get('config', { configKey: CONFIG_KEY }))?.value.configValue);
  const sizes = Object.values(config.tables).map((own) => own.split_bytes ?? config.split_bytes);
  return {
    split: config.split,
    merge: config.merge,
    splitsMax: config.splits_max,
    mergesMax: config.merges_max,
    splitBytesLeast: Math.min(config.split_bytes, ...sizes),
    of: (table) => {
      const own = config.tables[table];
      return {
        split: config.split === 'off' ? 'off' : (own?.split ?? 'on'),
        merge: config.merge === 'off' ? 'off' : (own?.merge ?? 'on'),
        splitBytes: own?.split_bytes ?? config.split_bytes,
      };
    },
  };
}

function configOf(stored: unknown): StructureConfig {
  const parsed = structureConfigSchema.safeParse({ ...DEFAULTS, ...(stored ?? {}) });
  return parsed.success ? parsed.data : DEFAULTS;
}

export const getStructureConfig: UseCase<'getStructureConfig'> = async (deps) =>
  ok(configOf((await deps.records.get('config', { configKey: CONFIG_KEY }))?.value.configValue));

export const setStructureConfig: UseCase<'setStructureConfig'> = async (deps, principal, { body }) => {
  const stored = await deps.records.get('config', { configKey: CONFIG_KEY });
  // What the body leaves out stays as it is.
  const value = structureConfigSchema.parse({ ...configOf(stored?.value.configValue), ...body });
  const committed = await deps.records.commit({
    writes: [
      {
        kind: 'put',
        entity: 'config',
        value: {
          configKey: CONFIG_KEY,
          configValue: JSON.parse(JSON.stringify(value)) as never,
          updatedAtMs: deps.clock.wallMs(),
        },
        when: [stored === null ? { kind: 'absent' } : { kind: 'revision', is: stored.revision }],
      },
    ],
    audit: [
      {
        entity: `config:${CONFIG_KEY}`,
        number: (stored?.revision ?? 0) + 1,
        action: 'CONFIG_SET',
        principal: principalName(principal),
        detail: JSON.parse(JSON.stringify(value)) as never,
      },
    ],
    events: [],
  });
  if (!committed.ok) return err(conflict('CONFLICT', 'The configuration just changed. Send the request again.'));
  return ok(value);
};
