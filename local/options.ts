import { parseArgs } from 'node:util';
import type { LeaseProfileName } from '../shared/domain/lease.ts';

/** Options of `npm start`. */
export interface RunnerOptions {
  readonly port: number;
  readonly dataDir: string;
  /** 0: no data nodes of its own. */
  readonly nodes: number;
  readonly zones: number;
  readonly lease: LeaseProfileName;
  /** So many of the nodes collect the heartbeats of the others; 0: every node beats directly. */
  readonly relays: number;
  /** Whether a data node that dies is started again. */
  readonly deadNodes: 'restart' | 'leave';
}

export const NODES_MAX = 50;
export const ZONES_MAX = 26;
export const RELAYS_MAX = 5;
const DEFAULT_PORT = 8080;

export const USAGE = `Usage: npm start -- [options]

  --port N        port of the control plane (default: PORT from the environment, else ${DEFAULT_PORT})
  --data-dir DIR  where everything is kept (default: .data)
  --nodes N       data nodes to run, 0 to ${NODES_MAX} (default: 5)
  --zones N       zones over which they are spread, 1 to ${ZONES_MAX} (default: 3)
  --lease NAME    fast (3 s lease), standard (9 s) or economy (30 s) (default: standard)
  --relays N      let N of the data nodes collect the heartbeats of the others, 0 to ${RELAYS_MAX} (default: 0)
  --no-nodes      the control plane alone
  --no-restart    leave a data node that died dead (default: it is started again after 10 s)
  --help          this text`;

/** A mistake of the person who starts the runner: shown as it is, without a stack. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

/** Reads the command line; null if help is asked for. Throws `StartError` that names the option at fault. */
export function readOptions(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): RunnerOptions | null {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        port: { type: 'string' },
        'data-dir': { type: 'string' },
        nodes: { type: 'string' },
        zones: { type: 'string' },
        lease: { type: 'string' },
        relays: { type: 'string' },
        'no-nodes': { type: 'boolean' },
        'no-restart': { type: 'boolean' },
        help: { type: 'boolean' },
      },
    }));
  } catch (error) {
    throw new StartError(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
  }
  if (values.help === true) return null;
  const port = values.port ?? (environment['PORT'] || undefined);
  return {
    port: wholeNumber(values.port === undefined ? 'PORT' : '--port', port ?? String(DEFAULT_PORT), 0, 65_535),
    dataDir: values['data-dir'] ?? '.data',
    nodes: values['no-nodes'] === true ? 0 : wholeNumber('--nodes', values.nodes ?? '5', 0, NODES_MAX),
    zones: wholeNumber('--zones', values.zones ?? '3', 1, ZONES_MAX),
    lease: leaseOf(values.lease ?? 'standard'),
    relays: wholeNumber('--relays', values.relays ?? '0', 0, RELAYS_MAX),
    deadNodes: values['no-restart'] === true ? 'leave' : 'restart',
  };
}

function wholeNumber(option: string, text: string, min: number, max: number): number {
  const value = /^[0-9]{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new StartError(`${option} must be a whole number from ${min} to ${max}, not "${text}".`);
}

function leaseOf(text: string): LeaseProfileName {
  if (text === 'fast' || text === 'standard' || text === 'economy') return text;
  throw new StartError(`--lease must be fast, standard or economy, not "${text}".`);
}
