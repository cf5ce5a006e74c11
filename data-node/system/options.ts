import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { capacityWeightSchema, labelsSchema } from '../../shared/contracts/placement.ts';
import { hostSchema, nodeIdSchema, portSchema, zoneSchema } from '../../shared/contracts/primitives.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';

export interface NodeOptions {
  readonly nodeId: string;
  readonly zone: string;
  readonly host: string;
  /** 0: the port used last, else a free one. */
  readonly port: number;
  /** Where others reach the node, if that is not where it listens (address translation, a proxy); null: as it listens. */
  readonly advertisedHost: string | null;
  readonly advertisedPort: number | null;
  readonly dataDir: string;
  readonly controlPlaneUrl: string;
  readonly joinToken: string | null;
  /** What the node is good for, for placement rules; null: as it said before, or nothing. */
  readonly labels: Readonly<Record<string, string>> | null;
  /** Capacity relative to the other nodes; null: as it said before, or 1. */
  readonly capacityWeight: number | null;
  /** Bytes that the node may fill, for several nodes on one disk; null: the whole file system is its own. */
  readonly diskCapacityBytes: number | null;
  /** True: collects the heartbeats of other nodes and sends them as one. */
  readonly relayForOthers: boolean;
  /** Node id of the relay through which this node beats; null: directly. */
  readonly relayThrough: string | null;
  /** Stop when the parent process is gone. */
  readonly exitWithParent: boolean;
  /** Where every answer given as leader is noted, for the search for double leaders; null: nowhere. */
  readonly serveLog: string | null;
  /** False only in a benchmark's control run, which shows that its measure of double leaders can fail. */
  readonly selfFencing: boolean;
}

export const USAGE = `Usage: node data-node/main.ts --node-id ID --zone ZONE --data-dir DIR --control-plane URL [options]

  --host HOST              address to listen on and to be reached at (default: 127.0.0.1)
  --port N                 port; 0 is the one used last, else a free one (default: 0)
  --advertise-host HOST    host and port by which others reach this node, where they are not those that it
  --advertise-port N       listens on: behind address translation or a proxy
  --join-token-file FILE   join token of a new node (else SHARDKEEPER_JOIN_TOKEN); never on the command line
  --label KEY=VALUE        label of this node for placement rules, for example disk=ssd; may be repeated
  --capacity-weight W      capacity relative to the other nodes, 0.01 to 100 (default: 1); what an operator has set
                           by the API goes before both
  --disk-capacity BYTES    space of this node where several share a disk (default: the file system's)
  --relay                  collect the heartbeats of up to 100 other nodes and send them as one
  --relay-through ID       send heartbeats through the relay with this node id; directly when it does not answer
  --exit-with-parent       stop when standard input or the parent's channel closes
  --serve-log FILE         note every answer given as leader, for benchmarks
  --without-self-fencing   serve on without a lease: for a benchmark's control run, never with data that matters
  --help                   this text

Standard output carries one JSON line when the node listens: {"event":"listening","node_id","host","port","pid"}.
Exit codes: 0 stopped, 1 failed, 2 wrong usage, 3 data directory refused, 4 port refused, 5 refused by the control plane.`;

const MISSING = (name: string): Result<never, string> => err(`--${name} is missing`);

/** Reads the command line. An error is a text for the operator; 'HELP' asks for the usage. */
export function readOptions(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Result<NodeOptions | 'HELP', string> {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        'node-id': { type: 'string' },
        zone: { type: 'string' },
        host: { type: 'string', default: '127.0.0.1' },
        port: { type: 'string', default: '0' },
        'advertise-host': { type: 'string' },
        'advertise-port': { type: 'string' },
        'data-dir': { type: 'string' },
        'control-plane': { type: 'string' },
        'join-token-file': { type: 'string' },
        label: { type: 'string', multiple: true },
        'capacity-weight': { type: 'string' },
        'disk-capacity': { type: 'string' },
        relay: { type: 'boolean', default: false },
        'relay-through': { type: 'string' },
        'exit-with-parent': { type: 'boolean', default: false },
        'serve-log': { type: 'string' },
        'without-self-fencing': { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
  if (values.help) return ok('HELP');
  const { 'node-id': nodeId, zone, host, 'data-dir': dataDir, 'control-plane': controlPlaneUrl } = values;
  if (nodeId === undefined) return MISSING('node-id');
  if (zone === undefined) return MISSING('zone');
  if (dataDir === undefined || dataDir === '') return MISSING('data-dir');
  if (controlPlaneUrl === undefined) return MISSING('control-plane');
  const badId = nodeIdSchema.safeParse(nodeId).error?.issues[0]?.message;
  if (badId !== undefined) return err(`--node-id ${badId}`);
  if (!zoneSchema.safeParse(zone).success) return err('--zone must be 1 to 64 letters, digits, . _ -');
  if (!hostSchema.safeParse(host).success) return err('--host must be a host name or an address');
  if (!/^[0-9]{1,5}$/.test(values.port) || Number(values.port) > 65_535) return err('--port must be 0 to 65535');
  const { 'advertise-host': advertisedHost = null, 'advertise-port': advertisedPort = null } = values;
  if (advertisedHost !== null && !hostSchema.safeParse(advertisedHost).success)
    return err('--advertise-host must be a host name or an address');
  const isPort = (text: string): boolean => /^[0-9]{1,5}$/.test(text) && portSchema.safeParse(Number(text)).success;
  if (advertisedPort !== null && !isPort(advertisedPort)) return err('--advertise-port must be 1 to 65535');
  if (!URL.canParse(controlPlaneUrl) || !/^https?:$/.test(new URL(controlPlaneUrl).protocol)) {
    return err('--control-plane must be an http(s) URL');
  }
  const labels = readLabels(values.label);
  if (!labels.ok) return labels;
  const weight = values['capacity-weight'];
  const capacityWeight = weight === undefined ? null : Number(weight);
  if (capacityWeight !== null && (weight?.trim() === '' || !capacityWeightSchema.safeParse(capacityWeight).success))
    return err('--capacity-weight must be a number from 0.01 to 100');
  const capacity = values['disk-capacity'];
  // At least what an empty engine takes.
  if (capacity !== undefined && !/^[1-9][0-9]{6,15}$/.test(capacity))
    return err('--disk-capacity must be a number of bytes, at least 1000000');
  const relayThrough = values['relay-through'] ?? null;
  const badRelay = relayThrough === null ? undefined : nodeIdSchema.safeParse(relayThrough).error?.issues[0]?.message;
  if (badRelay !== undefined) return err(`--relay-through ${badRelay}`);
  if (relayThrough === nodeId) return err('--relay-through must name another node');
  const joinToken = readJoinToken(values['join-token-file'], env);
  if (!joinToken.ok) return joinToken;
  return ok({
    nodeId,
    zone,
    host,
    port: Number(values.port),
    advertisedHost,
    advertisedPort: advertisedPort === null ? null : Number(advertisedPort),
    dataDir,
    controlPlaneUrl,
    joinToken: joinToken.value,
    labels: labels.value,
    capacityWeight,
    diskCapacityBytes: capacity === undefined ? null : Number(capacity),
    relayForOthers: values.relay,
    relayThrough,
    exitWithParent: values['exit-with-parent'],
    serveLog: values['serve-log'] ?? null,
    selfFencing: !values['without-self-fencing'],
  });
}

/** `disk=ssd`, each key once. */
function readLabels(texts: readonly string[] | undefined): Result<Readonly<Record<string, string>> | null, string> {
  if (texts === undefined) return ok(null);
  const pairs = texts.map((text): [string, string] => {
    const at = text.indexOf('=');
    return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
  });
  const labels = new Map(pairs);
  if (labels.size < pairs.length) return err('--label names a key twice');
  if (labels.has('__proto__')) return err('--label must be KEY=VALUE: __proto__ is no key'); // which zod leaves out of records unseen
  const parsed = labelsSchema.safeParse(Object.fromEntries(labels));
  if (parsed.success) return ok(parsed.data);
  return err(`--label must be KEY=VALUE: ${parsed.error.issues[0]?.message ?? 'not understood'}`);
}

function readJoinToken(
  file: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Result<string | null, string> {
  if (file === undefined) return ok(nonEmpty(env['SHARDKEEPER_JOIN_TOKEN']));
  try {
    return ok(nonEmpty(readFileSync(file, 'utf8')));
  } catch (error) {
    return err(`--join-token-file can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const nonEmpty = (text: string | undefined): string | null => {
  const trimmed = text?.trim() ?? '';
  return trimmed === '' ? null : trimmed;
};
