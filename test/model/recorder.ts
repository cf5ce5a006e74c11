import type { Engine } from '../../data-node/engine/engine.ts';
import type { EngineTransaction, LogEntry, ReplicaMeta } from '../../data-node/engine/types.ts';
import { simulate } from '../simulation/cluster.ts';
import type { Mistakes, SimulationOptions, SimulationResult } from '../simulation/options.ts';
import type { CopyState, KeyRange, Listed, ModelEvent } from './events.ts';

/** The abstraction function: what a simulated run does, as events of the model. Reads what the run shows anyway and changes nothing. */

/** Under this name a directory says whose it is (data-node/agent/data-directory.ts). */
const NODE_ID_FIELD = 'agent.node_id';

const stateOf = (meta: ReplicaMeta): CopyState => ({
  shard: meta.shardId,
  promised: meta.maxEpoch,
  receipt: meta.receipt?.epoch ?? 0,
  last: { ...meta.last },
  intact: meta.intact,
});
const rangeOf = ({ descriptor }: ReplicaMeta): KeyRange => ({
  from: descriptor.start_key,
  to: descriptor.end_key,
  generation: descriptor.generation,
});
const writesOf = (entry: LogEntry): { key: string; value: string }[] =>
  entry.changes.flatMap(({ key, value }) => (value === null ? [] : [{ key, value: JSON.parse(value) as string }]));

type Emit = (event: ModelEvent) => void;
type Recorded = Pick<
  EngineTransaction,
  | 'createReplica'
  | 'patchReplica'
  | 'append'
  | 'truncate'
  | 'swapIn'
  | 'fork'
  | 'shrink'
  | 'join'
  | 'giveUpParts'
  | 'removeReplica'
>;

/** The transaction, telling what it changes. */
function recorded(tx: EngineTransaction, node: string, emit: Emit): EngineTransaction {
  const ranged = (meta: ReplicaMeta): ReplicaMeta => {
    emit({ type: 'ranged', node, shard: meta.shardId, range: rangeOf(meta) });
    return meta;
  };
  /** A change of range that brings a promise along. */
  const reshaped = (meta: ReplicaMeta): ReplicaMeta => {
    emit({ type: 'promised', node, shard: meta.shardId, epoch: meta.maxEpoch });
    return ranged(meta);
  };
  const told: Recorded = {
    createReplica: (replica) => {
      const meta = tx.createReplica(replica);
      emit({ type: 'created', node, shard: meta.shardId, promised: meta.maxEpoch });
      return ranged(meta);
    },
    patchReplica: (shard, patch) => {
      const before = tx.replica(shard);
      const meta = tx.patchReplica(shard, patch);
      if (before?.maxEpoch !== meta.maxEpoch) emit({ type: 'promised', node, shard, epoch: meta.maxEpoch });
      if (before?.receipt?.epoch !== meta.receipt?.epoch && meta.receipt !== null)
        emit({ type: 'receipt', node, shard, epoch: meta.receipt.epoch });
      return before?.descriptor === meta.descriptor ? meta : ranged(meta);
    },
    append: (shard, entries, commitSeq) => {
      const meta = tx.append(shard, entries, commitSeq);
      const shown = entries.map((entry) => ({ epoch: entry.epoch, seq: entry.seq, writes: writesOf(entry) }));
      if (shown.length > 0) emit({ type: 'appended', node, shard, entries: shown });
      return meta;
    },
    truncate: (shard, seq) => {
      const meta = tx.truncate(shard, seq);
      emit({ type: 'truncated', node, shard, seq });
      return meta;
    },
    swapIn: (shard, storageId, snapshot) => {
      const meta = tx.swapIn(shard, storageId, snapshot);
      emit({ type: 'loaded', node, shard, at: { ...snapshot.at } });
      return meta;
    },
    fork: (shard, fork) => {
      const result = tx.fork(shard, fork);
      emit({ type: 'forked', node, shard, child: stateOf(result.child) });
      ranged(result.child);
      reshaped(result.parent);
      return result;
    },
    shrink: (shard, descriptor) => reshaped(tx.shrink(shard, descriptor)),
    join: (shard, merged) => {
      const meta = tx.join(shard, merged);
      const right = merged.merged_from?.right_shard_id ?? '';
      emit({ type: 'joined', node, shard, right, base: { ...meta.last } });
      return reshaped(meta);
    },
    giveUpParts: (shard, merged) => {
      const meta = tx.giveUpParts(shard, merged);
      emit({ type: 'voided', node, shard });
      return reshaped(meta);
    },
    removeReplica: (shard) => {
      tx.removeReplica(shard);
      emit({ type: 'removed', node, shard });
    },
  };
  return overlaid(tx, told);
}

/** `base` with some methods replaced; the others stay its own. */
const overlaid = <T extends object>(base: T, replaced: Partial<T>): T =>
  new Proxy(base, {
    get: (target, name) => {
      const method: unknown = Reflect.get(name in replaced ? replaced : target, name);
      return typeof method === 'function' && !(name in replaced) ? (method.bind(target) as unknown) : method;
    },
  });

function recordedEngine(engine: Engine, emit: Emit): Engine {
  const node = engine.get(NODE_ID_FIELD) ?? '';
  emit({ type: 'opened', node, copies: engine.replicas().map(stateOf) });
  return overlaid(engine, {
    transaction: <T>(change: (tx: EngineTransaction) => T): T => {
      const events: ModelEvent[] = [];
      const result = engine.transaction((tx) => change(recorded(tx, node, (event) => events.push(event))));
      events.forEach(emit);
      return result;
    },
  });
}

const NODE_LINE = /^(\S+) node epoch (\d+), (?:fenced|registered)$/;
const SHARD_LINE = /^(\S+) e(\d+) g(\d+) (.+?)(?: -> (\S+))?$/;
const REPLICA = /\((\S+)\/(\d+)(\*?) \w+\)|(\S+)\/(\d+)(\*?)/g;
const WROTE = /^wrote (\S+) = (\S+)$/;

/** A line of the trace as an event; null: none of the protocol's. The lines are those of metadata-watch.ts and workload.ts. */
export function eventOfLine(line: string): ModelEvent | null {
  const source = line.slice(13, 27).trim();
  const text = line.slice(28);
  if (source === 'STORE') {
    const node = NODE_LINE.exec(text);
    if (node !== null) return { type: 'node', node: node[1] ?? '', epoch: Number(node[2]) };
    const shard = SHARD_LINE.exec(text);
    if (shard === null) return null;
    const replicas: Listed[] = [];
    let leader = '';
    for (const [, absent, absentEpoch, absentLeads, name, epoch, leads] of (shard[4] ?? '').matchAll(REPLICA)) {
      const id = absent ?? name ?? '';
      replicas.push({ node: id, nodeEpoch: Number(absentEpoch ?? epoch), inSync: name !== undefined });
      if (absentLeads === '*' || leads === '*') leader = id;
    }
    const [, id = '', epoch, generation] = shard;
    const numbers = { epoch: Number(epoch), generation: Number(generation) };
    return { type: 'descriptor', shard: id, ...numbers, leader, replicas, intent: shard[5] !== undefined };
  }
  const wrote = WROTE.exec(text);
  return wrote === null ? null : { type: 'acknowledged', key: wrote[1] ?? '', value: wrote[2] ?? '' };
}

/** Runs the simulation and hands over its events as they happen. */
export function recordRun(options: SimulationOptions, emit: Emit): Promise<SimulationResult> {
  const planted = options.mistakes?.alterEngine ?? ((engine: Engine): Engine => engine);
  const mistakes: Mistakes = { ...options.mistakes, alterEngine: (engine) => recordedEngine(planted(engine), emit) };
  const onTrace = (line: string): void => {
    options.onTrace?.(line);
    const event = eventOfLine(line);
    if (event !== null) emit(event);
  };
  return simulate({ ...options, mistakes, onTrace });
}
