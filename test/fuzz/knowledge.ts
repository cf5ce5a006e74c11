import type { CallName } from '../../shared/contracts/api/index.ts';
import type { SeededRandom } from '../simulation/random.ts';

/** What the answers so far have told of the world: ids, versions and cursors that later requests are made from. */

export interface KnownReplica {
  readonly replica_id: string;
  readonly node_id: string;
  readonly node_epoch: number;
  readonly sync_status: string;
  readonly is_leader: boolean;
}
export interface KnownShard {
  readonly shard_id: string;
  readonly table: string;
  readonly leader: string;
  readonly replica_details: readonly KnownReplica[];
  readonly data_range_start: string;
  readonly data_range_end: string | null;
  readonly epoch: number;
  readonly generation: number;
  readonly state: string;
  readonly operation_id: string | null;
}
export interface KnownTable {
  readonly table: string;
  readonly key_type: string;
  readonly state: string;
}
export interface KnownOperation {
  readonly operation_id: string;
  readonly type: string;
  readonly status: string;
}

/** Things of one kind that are kept; the oldest go first. */
const KEPT_MAX = 300;
/** Values of an answer that are looked at. */
const VALUES_MAX = 4_000;
/** Fields whose texts are kept under their names. */
const KEPT_FIELDS = new Set(['entity', 'code', 'command_id', 'join_token', 'replica_id', 'incarnation', 'store_uuid']);

export class Knowledge {
  readonly shards = new Map<string, KnownShard>();
  readonly tables = new Map<string, KnownTable>();
  readonly operations = new Map<string, KnownOperation>();
  /** Shards that were recovered after the loss of a quorum. */
  readonly recovered = new Map<string, string>();
  private readonly cursors = new Map<string, Map<string, true>>();
  private readonly texts = new Map<string, Map<string, true>>();

  /** Takes in the body of an answer to `name`. */
  learn(name: CallName, body: unknown): void {
    const open: unknown[] = [body];
    for (let seen = 0; open.length > 0 && seen < VALUES_MAX; seen++) {
      const value = open.pop();
      if (typeof value !== 'object' || value === null) continue;
      if (Array.isArray(value)) {
        for (const item of value as readonly unknown[]) open.push(item);
        continue;
      }
      this.learnObject(name, value as Readonly<Record<string, unknown>>);
      open.push(...(Object.values(value) as readonly unknown[]));
    }
  }

  /** An id that was asked for does not exist (any more). */
  forget(id: string): void {
    this.shards.delete(id);
    this.tables.delete(id);
    this.operations.delete(id);
    this.recovered.delete(id);
  }

  cursorOf(name: CallName, random: SeededRandom): string | undefined {
    return pickKey(this.cursors.get(name), random);
  }

  textOf(field: string, random: SeededRandom): string | undefined {
    return pickKey(this.texts.get(field), random);
  }

  private learnObject(name: CallName, value: Readonly<Record<string, unknown>>): void {
    if ('replica_details' in value) keep(this.shards, (value as unknown as KnownShard).shard_id, value as never);
    else if ('key_type' in value && 'state' in value) {
      keep(this.tables, (value as unknown as KnownTable).table, value as never);
    } else if ('execution_arn' in value) {
      keep(this.operations, (value as unknown as KnownOperation).operation_id, value as never);
    } else if (typeof value['operation_id'] === 'string' && !this.operations.has(value['operation_id'])) {
      const { operation_id } = value;
      keep(this.operations, operation_id, { operation_id, type: 'unknown', status: 'PENDING' });
    }
    const listed = value['recovered'];
    const recovered = 'started_by' in value ? [value] : Array.isArray(listed) ? (listed as readonly object[]) : [];
    for (const shard of recovered) {
      const { shard_id } = shard as { shard_id?: string };
      if (shard_id !== undefined) keep(this.recovered, shard_id, shard_id);
    }
    for (const [field, text] of Object.entries(value)) {
      if (typeof text !== 'string') continue;
      if (field === 'next_cursor') keep(groupOf(this.cursors, name), text, true);
      else if (KEPT_FIELDS.has(field)) keep(groupOf(this.texts, field), text, true);
    }
  }
}

function keep<T>(kept: Map<string, T>, key: string, value: T): void {
  kept.delete(key);
  kept.set(key, value);
  if (kept.size <= KEPT_MAX) return;
  const [oldest] = kept.keys();
  if (oldest !== undefined) kept.delete(oldest);
}

function groupOf(groups: Map<string, Map<string, true>>, name: string): Map<string, true> {
  const group = groups.get(name) ?? new Map<string, true>();
  groups.set(name, group);
  return group;
}

export function pickValue<T>(kept: ReadonlyMap<string, T>, random: SeededRandom): T | undefined {
  return kept.size === 0 ? undefined : random.pick([...kept.values()]);
}

function pickKey(kept: ReadonlyMap<string, true> | undefined, random: SeededRandom): string | undefined {
  return kept === undefined || kept.size === 0 ? undefined : random.pick([...kept.keys()]);
}
