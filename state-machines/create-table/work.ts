import { encodedKey, nodeId, tableId, tableName } from '../../shared/domain/ids.ts';
import type { NewTable } from '../../shared/domain/create-table.ts';
import type { PlacementCandidate } from '../../shared/domain/placement.ts';
import type { Json, OperationRecord } from '../../shared/domain/records.ts';
import { Bug } from '../../shared/domain/result.ts';
import type { Deps, Stored } from '../../shared/ports.ts';
import { fieldsOf, loadOperation, TERMINAL, textOf } from '../step.ts';
import type { StepFunction } from '../step.ts';

/** What a create-table operation keeps between its steps. */

/** Node id, zone, replicas, leaders, capacity weight, leader rank; the last two are missing in operations from before there was placement. */
type StoredCandidate = readonly [string, string, number, number, number?, number?];

export interface Work {
  readonly operation: Stored<'operation'>;
  /** Null after a roll-back, before a redriven operation claims the name again. */
  readonly table: Stored<'table'> | null;
  readonly plan: NewTable;
  readonly candidates: readonly PlacementCandidate[];
  /** Shards in the directory, and shards whose replicas are provisioned. */
  readonly built: number;
  readonly provisioned: number;
}

export async function load(deps: Deps, input: Parameters<StepFunction>[1]): Promise<Work | 'ENDED'> {
  const operation = await loadOperation(deps, input.operationId);
  if (TERMINAL.has(operation.value.status)) return 'ENDED';
  const request = fieldsOf(operation.value.input);
  const state = fieldsOf(operation.value.state);
  const name = tableName(textOf(request, 'table'));
  // Shard ids are made from the table's id and never reused: after a roll-back the table is another one.
  const id = tableId(textOf('table_id' in state ? state : request, 'table_id'));
  const stored = await deps.records.get('table', { table: name });
  const isOurs = stored?.value.tableId === id && stored.value.operationId === input.operationId;
  return {
    operation,
    table: isOurs ? stored : null,
    plan: {
      table: name,
      tableId: id,
      keyType: request['key_type'] === 'int64' ? 'int64' : 'string',
      replicationFactor: Number(request['replication_factor']),
      splitKeys: (request['split_keys'] as readonly string[]).map(encodedKey),
    },
    candidates: ((state['candidates'] ?? []) as readonly StoredCandidate[]).map(
      ([id, zone, replicas, leaders, weight = 1, leaderRank = 0]) => ({
        nodeId: nodeId(id),
        zone,
        replicas,
        leaders,
        weight,
        leaderRank,
      }),
    ),
    built: Number(state['built'] ?? 0),
    provisioned: Number(state['provisioned'] ?? 0),
  };
}

/** As load, for steps that need the table's record to stand. */
export async function loadWithTable(
  deps: Deps,
  input: Parameters<StepFunction>[1],
): Promise<(Work & { readonly table: Stored<'table'> }) | 'ENDED'> {
  const work = await load(deps, input);
  if (work === 'ENDED') return work;
  const { table } = work;
  if (table === null) throw new Bug(`operation ${input.operationId} lost its table`);
  return { ...work, table };
}

export const stateOf = (work: Pick<Work, 'plan' | 'candidates' | 'built' | 'provisioned'>): Json => ({
  table_id: work.plan.tableId,
  candidates: work.candidates.map(({ nodeId: id, zone, replicas, leaders, weight = 1, leaderRank: rank = 0 }) => [
    id,
    zone,
    replicas,
    leaders,
    weight,
    rank,
  ]),
  built: work.built,
  provisioned: work.provisioned,
});

/** The step to go on with. The waits are repeated from their beginning: nodes know the commands already. */
export function resume({ state, progress }: OperationRecord): string {
  const { candidates, built, provisioned } = fieldsOf(state);
  if (!Array.isArray(candidates) || candidates.length === 0) return 'plan';
  if (Number(built ?? 0) < progress.total) return 'build-directory';
  return Number(provisioned ?? 0) < progress.total ? 'create-replicas' : 'activate';
}
