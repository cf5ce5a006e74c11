import { generation, nodeId, shardId } from '../ids.ts';
import type { Generation, NodeId, ShardId } from '../ids.ts';
import type { Json } from '../records.ts';
import { Bug } from '../result.ts';

/** One part of an operation over many shards: what happens to one shard. Data: it is checked against the shard when its turn comes (I-12). */
export type WavePart = MovePart | LeaderPart | FactorPart;

/** The replica on `from` is replaced by one on `to`. */
export interface MovePart {
  readonly kind: 'MOVE';
  readonly shardId: ShardId;
  /** Generation of the shard that the part was planned from. */
  readonly generation: Generation;
  readonly from: NodeId;
  /** Null: chosen when its turn comes. */
  readonly to: NodeId | null;
  readonly reason: string;
  /** Size of the copy, bytes; 0 where nobody told. */
  readonly bytes: number;
}

/** The leadership goes from `from` to `to`. */
export interface LeaderPart {
  readonly kind: 'LEADER';
  readonly shardId: ShardId;
  readonly generation: Generation;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly reason: string;
}

/** The shard gets as many replicas as `replicationFactor` says, and the `min_in_sync` that goes with it. */
export interface FactorPart {
  readonly kind: 'FACTOR';
  readonly shardId: ShardId;
  readonly generation: Generation;
  readonly replicationFactor: number;
  readonly bytes: number;
}

export function partJson(part: WavePart): Json {
  const common = { kind: part.kind, shard_id: part.shardId, generation: part.generation };
  switch (part.kind) {
    case 'MOVE':
      return { ...common, from: part.from, to: part.to, reason: part.reason, bytes: part.bytes };
    case 'LEADER':
      return { ...common, from: part.from, to: part.to, reason: part.reason };
    case 'FACTOR':
      return { ...common, replication_factor: part.replicationFactor, bytes: part.bytes };
  }
}

/** A part as `partJson` wrote it. Throws Bug if it is none. */
export function partOf(json: Json): WavePart {
  if (json === null || typeof json !== 'object' || Array.isArray(json)) throw new Bug('no part of an operation');
  const fields = json as { readonly [key: string]: Json };
  const text = (name: string): string => {
    const value = fields[name];
    if (typeof value !== 'string') throw new Bug(`a part of an operation without ${name}`);
    return value;
  };
  const common = { shardId: shardId(text('shard_id')), generation: generation(Number(fields['generation'])) };
  const bytes = Number(fields['bytes'] ?? 0);
  switch (fields['kind']) {
    case 'MOVE': {
      const to = fields['to'] === null ? null : nodeId(text('to'));
      return { kind: 'MOVE', ...common, from: nodeId(text('from')), to, reason: text('reason'), bytes };
    }
    case 'LEADER':
      return {
        kind: 'LEADER',
        ...common,
        from: nodeId(text('from')),
        to: nodeId(text('to')),
        reason: text('reason'),
      };
    case 'FACTOR':
      return { kind: 'FACTOR', ...common, replicationFactor: Number(fields['replication_factor']), bytes };
    default:
      throw new Bug(`a part of unknown kind ${JSON.stringify(fields['kind'])}`);
  }
}
