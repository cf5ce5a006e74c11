import type { Json, OperationRecord } from './records.ts';

/** What an operation is about: the nodes, shards and tables that its request named, so that it is found by them. */

/** Fields of inputs that hold one id, or null for none. */
const ONE = ['node_id', 'shard_id', 'with_shard_id', 'table', 'table_id'] as const;

/** Ids, each once. An operation without any is about the whole cluster: a repair, a rebalance of all tables. */
export function resourcesOf({ input }: Pick<OperationRecord, 'input'>): readonly string[] {
  const fields = objectOf(input);
  // `add` and `remove`: nodes of a membership change; removals name the replica besides.
  const ids = [
    ...ONE.map((name) => fields[name]),
    ...listOf(fields['add']),
    ...listOf(fields['remove']).map((one) => objectOf(one)['node_id']),
  ];
  return [...new Set(ids.filter((id) => typeof id === 'string'))];
}

const objectOf = (json: Json | undefined): { readonly [key: string]: Json } =>
  json !== undefined && json !== null && typeof json === 'object' && !Array.isArray(json)
    ? (json as { readonly [key: string]: Json })
    : {};

const listOf = (json: Json | undefined): readonly Json[] => (Array.isArray(json) ? (json as readonly Json[]) : []);
