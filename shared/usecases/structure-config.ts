import { structureConfigSchema } from '../contracts/api/split-merge.ts';
import type { StructureConfig } from '../contracts/api/split-merge.ts';
import type { TableName } from '../domain/ids.ts';
import { ok } from '../domain/result.ts';
import { DEFAULT_SPLIT_OPTIONS } from '../domain/split-reasons.ts';
import type { Deps } from '../ports.ts';
import { saveConfig } from './config.ts';
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
  return saveConfig(deps, principal, CONFIG_KEY, stored, value);
};
