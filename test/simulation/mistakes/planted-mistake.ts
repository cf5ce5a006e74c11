import type { Mistakes } from '../options.ts';
import type { SettingName } from './settings.ts';
import type { SourceChange } from './source-changes.ts';

/**
 * A mistake that the cluster could be built with: what it leaves out, and in which kind of runs it has to be found. It comes in by the text of
 * modules, or by the ports that the simulation wraps.
 */
export interface PlantedMistake {
  readonly name: string;
  /** The rule of docs/protocol.md whose absence it is; an invariant where no rule says it. */
  readonly breaks: string;
  readonly setting: SettingName;
  readonly changes: readonly SourceChange[];
  readonly mistakes?: Mistakes;
}
