import { tableName } from '../../shared/domain/ids.ts';
import type { ShardId, TableName } from '../../shared/domain/ids.ts';
import type { Json, OperationRecord, TableRecord } from '../../shared/domain/records.ts';
import { majority } from '../../shared/domain/shard.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { WavePart } from '../../shared/domain/waves/parts.ts';
import { budgetOf } from '../../shared/domain/waves/settings.ts';
import type { Deps } from '../../shared/ports.ts';
import { configChange, tableChange } from '../../shared/usecases/change-replication.ts';
import { replicationConfig } from '../../shared/usecases/config.ts';
import { findShards, shardCursorJson, shardCursorOf } from '../../shared/usecases/copy-counts.ts';
import type { RangeLimits, ShardCursor } from '../../shared/usecases/copy-counts.ts';
import { everyRecord } from '../../shared/usecases/every-record.ts';
import { BY } from '../move-replica/work.ts';
import { fieldsOf } from '../step.ts';
import { waveMachine } from '../waves.ts';
import type { WaveGoal, WavePass } from '../waves.ts';

/**
 * change-replication-factor: tables first, so that whatever else changes a shard meanwhile works towards the new factor; then every shard that has
 * another number of copies, or a `min_in_sync` of another factor (raised by the shard's own change, after enough copies are in sync). A
 * cancel turns the target round: what was changed is brought back by the same means.
 */

/** Time without a shard done after which the rest is left as it is: nodes that restart are back by then. */
const IDLE_MS = 600_000;
/** Shards that one plan reads, and parts that it holds. */
const LIMITS: RangeLimits = { scannedMax: 5_000, foundMax: 500 };

interface Input {
  /** Null: the cluster's factor, for all tables that follow it. */
  readonly table: TableName | null;
  readonly factor: number;
  readonly isOwn: boolean;
}

/** What every shard is brought to: what was asked for, or while it is undone what was before. */
function targetOf(operation: OperationRecord): Input {
  const fields = fieldsOf(operation.input);
  const name = fields['table'];
  const table = typeof name === 'string' ? tableName(name) : null;
  const isBack = operation.undoing;
  return {
    table,
    factor: Number(isBack ? fields['previous'] : fields['replication_factor']),
    isOwn: table !== null && (!isBack || fields['was_own'] === true),
  };
}

/** Configuration and tables say the target. Tables that got a factor of their own meanwhile are left alone. */
async function ensureTarget(deps: Deps, target: Input): Promise<readonly TableRecord[]> {
  if (target.table === null && (await replicationConfig(deps)).replicationFactor !== target.factor) {
    const set = await deps.records.commit(await configChange(deps, BY, target.factor));
    if (!set.ok) throw new Error('the replication factor was changed meanwhile');
  }
  const tables: TableRecord[] = [];
  for (const { table } of await everyRecord(deps, 'table', {})) {
    if (target.table !== null && table !== target.table) continue;
    const stored = await deps.records.get('table', { table });
    if (stored === null || stored.value.state === 'DELETING') continue;
    const { value } = stored;
    if (target.table === null && value.replicationFactorIsOwn) continue;
    const isSet = value.replicationFactor === target.factor && value.replicationFactorIsOwn === target.isOwn;
    if (value.state === 'ACTIVE' && !isSet) {
      const set = await deps.records.commit(tableChange(BY, stored, target.factor, target.isOwn));
      if (!set.ok) throw new Error(`table ${table} was changed meanwhile`);
    }
    tables.push({ ...value, replicationFactor: target.factor });
  }
  return tables;
}

/** Where a round over all shards stands. */
interface Round {
  /** Null: at its start. */
  readonly cursor: ShardCursor | null;
  /** Every shard up to there was as it should be. */
  readonly clean: boolean;
}

function roundOf(goal: Json): Round {
  const cursor = shardCursorOf(goal);
  return { cursor, clean: cursor === null || fieldsOf(goal)['clean'] === true };
}

const roundJson = ({ cursor, clean }: Round): Json =>
  cursor === null ? null : { ...fieldsOf(shardCursorJson(cursor)), clean };

const goal: WaveGoal = {
  mode: 'UNTIL_REACHED',
  unit: 'shards',
  idleMs: () => IDLE_MS,
  paced: false,
  budget: budgetOf,
  plan: async (deps, operation, state, busy): Promise<WavePass> => {
    const target = targetOf(operation);
    const tables = await ensureTarget(deps, target);
    const building = tables.find((table) => table.state === 'CREATING');
    const pass = await passOver(deps, tables, target.factor, roundOf(state.goal), busy, LIMITS);
    return {
      parts: pass.parts,
      goal: roundJson(pass.next),
      complete: pass.complete && building === undefined,
      left: 0,
      waitingOn: building === undefined ? 'another look at every shard' : `table ${building.table} to be created`,
    };
  },
  undo: () => Promise.resolve('PARTS'),
};

/**
 * The next range of a round: parts for its shards that are not as they should be, those of `busy` apart. Complete at the end of a round, from the
 * first shard to the last, that found nothing; a busy one that is off counts, as nobody looks at it again in that round.
 */
export async function passOver(
  deps: Deps,
  tables: readonly TableRecord[],
  factor: number,
  round: Round,
  busy: ReadonlySet<ShardId>,
  limits: RangeLimits,
): Promise<{ readonly parts: readonly WavePart[]; readonly next: Round; readonly complete: boolean }> {
  const { found, cursor } = await findShards(deps, tables, round.cursor, limits, (shard) => isOff(shard, factor));
  const clean = round.clean && found.length === 0;
  const parts = found.filter(({ shard }) => !busy.has(shard.shardId)).map(({ shard }) => partFor(shard, factor));
  return { parts, next: { cursor, clean: cursor === null || clean }, complete: clean && cursor === null };
}

const isOff = (shard: ShardDescriptor, factor: number): boolean =>
  shard.replicas.length !== factor || shard.minInSync !== majority(factor);

const partFor = ({ shardId, generation }: ShardDescriptor, replicationFactor: number): WavePart => ({
  kind: 'FACTOR',
  shardId,
  generation,
  replicationFactor,
  bytes: 0,
});

export const machine = waveMachine(goal);
