import type { CallName } from '../../shared/contracts/api/index.ts';
import type { SeededRandom } from '../simulation/random.ts';
import { pickValue } from './knowledge.ts';
import type { Knowledge, KnownReplica, KnownShard, KnownTable } from './knowledge.ts';
import type { PuppetNode } from './puppet-nodes.ts';
import { OMIT } from './schema-values.ts';
import type { FuzzWorld } from './world.ts';

/** What one request is about: a node, a shard, a table and an operation that belong together, so that its fields agree. */
export interface Subject {
  readonly node: PuppetNode | undefined;
  readonly known: (field: string) => unknown;
}

/** Operations that a call makes sense for; others are tried as well. */
const STATUSES: Partial<Record<CallName, readonly string[]>> = {
  pauseOperation: ['RUNNING', 'PENDING'],
  resumeOperation: ['PAUSED'],
  cancelOperation: ['RUNNING', 'PENDING', 'PAUSED'],
  redriveOperation: ['FAILED'],
};
/** How often a field gets what is known of it, and not a made-up value. */
const KNOWN_RATE = 0.93;
/** Nodes beyond which no new one is registered, so that the world stays small. */
const NODES_MAX = 14;
const ZONES = ['a', 'b', 'c'];
/** Everything at once would leave nothing to move. */
const REPLICATION_FACTORS = [1, 2, 3, 3, 4, 5];

export function drawSubject(name: CallName, world: FuzzWorld, knowledge: Knowledge, random: SeededRandom): Subject {
  const nodes = [...world.puppets.byId.values()];
  const living = world.puppets.living();
  const shards = [...knowledge.shards.values()];
  const shard: KnownShard | undefined = shards.length === 0 ? undefined : random.pick(shards);
  let node: PuppetNode | undefined = living.length === 0 ? undefined : random.pick(living);
  const isReport = name === 'report';
  if (isReport && shard !== undefined && random.chance(0.7)) node = world.puppets.byId.get(shard.leader) ?? node;
  const replica = shard === undefined ? undefined : random.pick(shard.replica_details);
  const table =
    (random.chance(0.6) ? knowledge.tables.get(shard?.table ?? '') : undefined) ?? pickValue(knowledge.tables, random);
  const parts = { name, world, knowledge, random, nodes, node, shard, shards, replica, table };
  return { node, known: (field) => (random.chance(KNOWN_RATE) ? knownOf(field, parts) : undefined) };
}

interface Parts {
  readonly name: CallName;
  readonly world: FuzzWorld;
  readonly knowledge: Knowledge;
  readonly random: SeededRandom;
  readonly nodes: readonly PuppetNode[];
  readonly node: PuppetNode | undefined;
  readonly shard: KnownShard | undefined;
  readonly shards: readonly KnownShard[];
  readonly replica: KnownReplica | undefined;
  readonly table: KnownTable | undefined;
}

/** The value of a field by its name; OMIT: best left out; undefined: nothing is known. */
function knownOf(field: string, parts: Parts): unknown {
  return isOfNode(parts.name) ? (ofCaller(field, parts) ?? ofWorld(field, parts)) : ofWorld(field, parts);
}

const isOfNode = (name: CallName): boolean =>
  name === 'heartbeat' ||
  name === 'heartbeats' ||
  name === 'releaseNode' ||
  name === 'registerNode' ||
  name === 'report';

/** What a node says of itself. */
function ofCaller(field: string, { name, node, world, random, nodes, replica, shard }: Parts): unknown {
  if (name === 'registerNode') return ofNewcomer(field, random, nodes);
  if (node === undefined) return undefined;
  const inReport = name === 'report' && random.chance(0.7);
  const member = inReport && replica !== undefined ? world.puppets.byId.get(replica.node_id) : undefined;
  switch (field) {
    case 'node_id':
      return node.id;
    case 'node_epoch':
      return node.nodeEpoch;
    case 'incarnation':
      return node.incarnation;
    case 'sequence':
      return node.sequence + 1;
    case 'attestation':
      return node.attestation;
    case 'credential':
      return node.credential;
    case 'lease_pack':
      return null;
    case 'store_uuid':
      return (member ?? node).storeUuid;
    case 'replica_id':
      return replica?.replica_id;
    case 'shard_id':
      return shard?.shard_id;
    case 'stats':
    case 'acks':
      return random.chance(0.8) ? OMIT : undefined;
    case 'receipt':
      return null;
    default:
      return undefined;
  }
}

/** A node that registers: one that is there (and perhaps stopped), or a new one while there is room. */
function ofNewcomer(field: string, random: SeededRandom, nodes: readonly PuppetNode[]): unknown {
  switch (field) {
    case 'node_id':
      return nodes.length < NODES_MAX && random.chance(0.5) ? `node-${random.hex(3)}` : random.pick(nodes).id;
    case 'host':
      return '127.0.0.1';
    case 'zone':
      return random.pick(ZONES);
    case 'relay':
      return random.chance(0.7) ? OMIT : random.pick(nodes).id;
    case 'attestation':
    case 'incarnation':
    case 'store_uuid':
    case 'public_key':
      return random.chance(0.7) ? OMIT : undefined;
    default:
      return undefined;
  }
}

function ofWorld(field: string, parts: Parts): unknown {
  const { name, knowledge, random, shard, shards, table } = parts;
  switch (field) {
    case 'node_id':
    case 'target_node_id':
    case 'node':
    case 'from':
    case 'to':
      return parts.nodes.length === 0 ? undefined : random.pick(parts.nodes).id;
    case 'source_node_id':
      return random.chance(0.5) ? OMIT : parts.replica?.node_id;
    case 'new_leader_node_id':
      return parts.replica?.node_id;
    case 'shard_id':
      if (name === 'closeRecovery') return pickValue(knowledge.recovered, random) ?? shard?.shard_id;
      return name === 'recoverShards' && random.chance(0.5) ? OMIT : shard?.shard_id;
    case 'with_shard_id': {
      const beside = shards.filter((other) => other.table === shard?.table && other !== shard);
      return random.chance(0.4) || beside.length === 0 ? OMIT : random.pick(beside).shard_id;
    }
    case 'generation':
      return isOfNode(name) || random.chance(0.3) ? shard?.generation : OMIT;
    case 'epoch':
      return shard?.epoch;
    case 'replica_id':
      return parts.replica?.replica_id;
    case 'node_epoch':
      return parts.replica?.node_epoch;
    case 'plan':
    case 'plans':
      return random.chance(0.9) ? OMIT : undefined;
    case 'dry_run':
      return name === 'decommissionNode' ? random.pick(['true', 'true', 'true', OMIT]) : undefined;
    case 'replication_factor':
      return random.pick(REPLICATION_FACTORS);
    case 'limit':
      return name === 'batchRoutes' ? undefined : String(random.pick([1, 2, 10, 100]));
    case 'cursor':
      return random.chance(0.5) ? OMIT : (knowledge.cursorOf(name, random) ?? OMIT);
    case 'operation_id':
    case 'parent_id':
      return operationFor(parts) ?? (field === 'parent_id' ? OMIT : undefined);
    case 'entity':
      return random.chance(0.3) ? OMIT : entityOf(parts);
    case 'code':
      return random.chance(0.6) ? OMIT : knowledge.textOf('code', random);
    case 'command_id':
      return knowledge.textOf('command_id', random);
    case 'table':
    case 'tables.key':
      return name === 'createTable' && random.chance(0.8) ? `t-${random.hex(3)}` : table?.table;
    default:
      return isKeyField(field) ? keyOf(parts) : undefined;
  }
}

const isKeyField = (field: string): boolean =>
  ['key', 'keys', 'split_key', 'from_key', 'pre_split', 'load_split'].includes(field);

/** A key of the table's type, inside the shard if it is about one. */
function keyOf({ name, random, shard, table }: Parts): unknown {
  const isInt = name === 'splitShard' ? /^-?\d+$/.test(shard?.data_range_start ?? '') : table?.key_type === 'int64';
  if (isInt || (name === 'createTable' && random.chance(0.3))) return String(random.below(2_000_000) - 1_000_000);
  if (name === 'splitShard') return `${shard?.data_range_start ?? ''}${random.pick(['0', 'g', 'm', '~'])}`;
  return random.pick(['a', 'm', 'z', 'ключ', '']) + random.hex(1);
}

function operationFor({ name, knowledge, random }: Parts): string | undefined {
  const operations = [...knowledge.operations.values()];
  const wanted = STATUSES[name];
  const fitting = wanted === undefined ? [] : operations.filter(({ status }) => wanted.includes(status));
  const from = fitting.length > 0 && random.chance(0.8) ? fitting : operations;
  return from.length === 0 ? undefined : random.pick(from).operation_id;
}

function entityOf({ knowledge, random, nodes, shard, table }: Parts): string {
  const node = nodes.length === 0 ? undefined : random.pick(nodes).id;
  return random.pick([
    knowledge.textOf('entity', random) ?? 'cluster',
    `node:${node}`,
    `lease:${node}`,
    `shard:${shard?.shard_id}`,
    `table:${table?.table}`,
    'cluster',
  ]);
}
