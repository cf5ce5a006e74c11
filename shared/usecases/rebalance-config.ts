import { rebalanceConfigSchema } from '../contracts/api/rebalance.ts';
import type { RebalanceConfig } from '../contracts/api/rebalance.ts';
import { DEFAULT_REBALANCE_SETTINGS } from '../domain/waves/settings.ts';
import type { RebalanceSettings } from '../domain/waves/settings.ts';
import { ok } from '../domain/result.ts';
import type { Deps } from '../ports.ts';
import { saveConfig } from './config.ts';
import type { UseCase } from './types.ts';

/** Limits of moving data: configuration key `rebalance`. */

const CONFIG_KEY = 'rebalance';

/** The settings in force: what is stored, defaults for the rest. A stored value that is none of ours counts as absent. */
export async function rebalanceSettings(deps: Deps): Promise<RebalanceSettings> {
  return settingsOf((await deps.records.get('config', { configKey: CONFIG_KEY }))?.value.configValue);
}

function settingsOf(stored: unknown): RebalanceSettings {
  const parsed = rebalanceConfigSchema.safeParse({ ...wire(DEFAULT_REBALANCE_SETTINGS), ...(stored ?? {}) });
  if (!parsed.success) return DEFAULT_REBALANCE_SETTINGS;
  const config = parsed.data;
  return {
    tick: config.tick,
    checkEverySeconds: config.check_every_seconds,
    movesPerHour: config.moves_per_hour,
    movesInPerNode: config.moves_in_per_node,
    movesOutPerNode: config.moves_out_per_node,
    movesPerCluster: config.moves_per_cluster,
    bytesPerSecond: config.bytes_per_second,
    transfersPerNode: config.transfers_per_node,
    transfersPerCluster: config.transfers_per_cluster,
    latencyRatioMax: config.latency_ratio_max,
    repair: config.repair,
    repairAfterSeconds: config.repair_after_seconds,
    repairsPerCluster: config.repairs_per_cluster,
  };
}

const wire = (settings: RebalanceSettings): RebalanceConfig => ({
  tick: settings.tick,
  check_every_seconds: settings.checkEverySeconds,
  moves_per_hour: settings.movesPerHour,
  moves_in_per_node: settings.movesInPerNode,
  moves_out_per_node: settings.movesOutPerNode,
  moves_per_cluster: settings.movesPerCluster,
  bytes_per_second: settings.bytesPerSecond,
  transfers_per_node: settings.transfersPerNode,
  transfers_per_cluster: settings.transfersPerCluster,
  latency_ratio_max: settings.latencyRatioMax,
  repair: settings.repair,
  repair_after_seconds: settings.repairAfterSeconds,
  repairs_per_cluster: settings.repairsPerCluster,
});

export const getRebalanceConfig: UseCase<'getRebalanceConfig'> = async (deps) =>
  ok(wire(await rebalanceSettings(deps)));

export const setRebalanceConfig: UseCase<'setRebalanceConfig'> = async (deps, principal, { body }) => {
  const stored = await deps.records.get('config', { configKey: CONFIG_KEY });
  const before = wire(settingsOf(stored?.value.configValue));
  // What the body leaves out stays as it is.
  const value: RebalanceConfig = rebalanceConfigSchema.parse({ ...before, ...body });
  return saveConfig(deps, principal, CONFIG_KEY, stored, value);
};
