import { firstDescriptor, shardCount, startKeyOf } from '../../shared/domain/create-table.ts';
import { replicaId, tableId } from '../../shared/domain/ids.ts';
import type { NodeId } from '../../shared/domain/ids.ts';
import { placeShards } from '../../shared/domain/placement.ts';
import type { TableRecord } from '../../shared/domain/records.ts';
import type { Deps, Stored } from '../../shared/ports.ts';
import { ACKNOWLEDGED, DONE, endRolledBack, endWait, failWith, fieldsOf, saveOperation } from '../step.ts';
import type { OperationMachine, StepFunction } from '../step.ts';
import {
  draft,
  liveNodes,
  removalDrafts,
  removeTold,
  sendAndWait,
  shardBatch,
  SHARDS_PER_STEP,
} from '../table-shards.ts';
import { placementCandidates } from './candidates.ts';
import { load, loadWithTable, resume, stateOf } from './work.ts';
import type { Work } from './work.ts';

/**
 * create-table: plan -> build the directory -> for each batch: create replicas, start leaders -> activate. Until it is ACTIVE nobody
 * is routed to the table. Whatever keeps failing is rolled back.
 */

/** Takes a snapshot of the nodes to place on. The placement itself follows from it, so that a repeated step repeats it. */
const plan: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  if (work === 'ENDED') return DONE;
  if (work.candidates.length > 0) return { next: 'build-directory' };
  if (work.table === null && !(await claimName(deps, work))) return { next: 'roll-back' };
  if (work.table === null) return { next: 'plan' };
  const candidates = await placementCandidates(deps, work.plan);
  const { replicationFactor } = work.plan;
  if (candidates.length < replicationFactor) {
    await saveOperation(
      deps,
      work.operation,
      {
        error: {
          code: 'NOT_ENOUGH_NODES',
          message: `Replication factor ${replicationFactor} needs as many live nodes; ${candidates.length} can take replicas of ${work.plan.table}.`,
        },
      },
      { name: 'plan', detail: 'not enough nodes' },
    );
    return { next: 'roll-back' };
  }
  await saveOperation(
    deps,
    work.operation,
    { state: stateOf({ ...work, candidates, built: 0, provisioned: 0 }) },
    { name: 'plan', detail: `${shardCount(work.plan)} shards over ${candidates.length} nodes` },
  );
  return { next: 'build-directory' };
};

/** A redriven operation whose table was rolled back makes it anew, under a new id. False: the name was taken meanwhile. */
async function claimName(deps: Deps, { operation, plan: wanted }: Work): Promise<boolean> {
  if ((await deps.records.get('table', { table: wanted.table })) !== null) {
    const message = `There is a table ${wanted.table} already. Delete it first, or choose another name.`;
    await saveOperation(
      deps,
      operation,
      { error: { code: 'TABLE_EXISTS', message } },
      { name: 'plan', detail: 'name taken' },
    );
    return false;
  }
  const id = tableId(`tbl-${deps.random.hex(8)}`);
  const table: TableRecord = {
    table: wanted.table,
    tableId: id,
    keyType: wanted.keyType,
    state: 'CREATING',
    replicationFactor: wanted.replicationFactor,
    replicationFactorIsOwn: fieldsOf(operation.value.input)['replication_factor_is_own'] === true,
    shardCount: shardCount(wanted),
    operationId: operation.value.operationId,
    createdAtMs: deps.clock.wallMs(),
  };
  await saveOperation(
    deps,
    operation,
    { state: { table_id: id } },
    { name: 'plan', detail: `table ${wanted.table} as ${id}` },
    {
      writes: [{ kind: 'put', entity: 'table', value: table, when: [{ kind: 'absent' }] }],
      audit: [
        {
          entity: `table:${id}`,
          number: 1,
          action: 'TABLE_CREATING',
          principal: 'system:operation',
          detail: { table: table.table, shards: table.shardCount },
        },
      ],
    },
  );
  return true;
}

const buildDirectory: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  if (work === 'ENDED') return DONE;
  const total = shardCount(work.plan);
  if (work.built < total) {
    const until = Math.min(work.built + SHARDS_PER_STEP, total);
    const live = await liveNodes(
      deps,
      work.candidates.map((candidate) => candidate.nodeId),
    );
    const able = work.candidates.filter((candidate) => live.has(candidate.nodeId));
    const placed = placeShards(able, until, work.plan.replicationFactor);
    if (!placed.ok) {
      await saveOperation(
        deps,
        work.operation,
        {
          error: {
            code: placed.error.code,
            message: `Only ${placed.error.available} of the ${placed.error.needed} nodes needed are alive.`,
          },
        },
        { name: 'build-directory', detail: 'not enough nodes' },
      );
      return { next: 'roll-back' };
    }
    const nowMs = deps.clock.wallMs();
    const shards = placed.value
      .slice(work.built)
      .map((placement, i) =>
        firstDescriptor(
          work.plan,
          work.built + i,
          placement,
          live,
          () => replicaId(`rep-${deps.random.hex(8)}`),
          nowMs,
        ),
      );
    await deps.directory.append(work.plan.tableId, shards, { principal: 'system:operation', action: 'SHARD_CREATED' });
    await saveOperation(
      deps,
      work.operation,
      { state: stateOf({ ...work, built: until }) },
      { name: 'build-directory', detail: `${until} of ${total} shards` },
    );
    return { next: until < total ? 'build-directory' : 'create-replicas' };
  }
  return { next: 'create-replicas' };
};

/**
 * Waits until every replica that could be elected is held durably by its node: an entry whose node epoch is in force claims to
 * hold every acknowledged write (E1), so the wait goes on until its node answers or is fenced.
 */
const createReplicas: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  if (work === 'ENDED') return endWait(deps, input);
  const { shards, held } = await shardBatch(deps, work.plan.tableId, startKeyOf(work.plan, work.provisioned));
  const drafts = shards.flatMap((shard) =>
    shard.replicas
      // A node that registered anew with the directory that the entry names never held a copy there, so nothing was acknowledged
      // without it (R1): its copy may be elected of the void (E4), and is all there is when every node started again. With
      // another directory the copy is made on the leader's report (R2).
      .filter((replica) => held.get(replica.nodeId)?.storeUuid === replica.storeUuid)
      .map((replica) => draft('create_replica', shard, replica)),
  );
  await saveOperation(
    deps,
    work.operation,
    { waitingOn: waitsFor('replicas on', drafts) },
    { name: 'create-replicas', detail: `${drafts.length} replicas` },
  );
  await sendAndWait(deps, input, drafts);
  return ACKNOWLEDGED;
};

/** Waits until the leaders of the batch serve. Where a leader's node was fenced meanwhile, failover sees to it. */
const startLeaders: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  if (work === 'ENDED') return endWait(deps, input);
  const { shards, live } = await shardBatch(deps, work.plan.tableId, startKeyOf(work.plan, work.provisioned));
  const drafts = shards
    .filter((shard) => live.get(shard.leader.nodeId)?.nodeEpoch === shard.leader.nodeEpoch)
    .map((shard) => draft('become_leader', shard, shard.leader));
  await saveOperation(
    deps,
    work.operation,
    { waitingOn: waitsFor('leaders on', drafts) },
    { name: 'start-leaders', detail: `${drafts.length} leaders` },
  );
  await sendAndWait(deps, input, drafts);
  return ACKNOWLEDGED;
};

const advance: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  if (work === 'ENDED') return DONE;
  const total = shardCount(work.plan);
  const provisioned = Math.min(work.provisioned + SHARDS_PER_STEP, total);
  await saveOperation(
    deps,
    work.operation,
    {
      waitingOn: null,
      state: stateOf({ ...work, provisioned }),
      progress: { done: provisioned, total, unit: 'shards' },
    },
    { name: 'advance', detail: `${provisioned} of ${total} shards` },
  );
  return { next: provisioned < total ? 'create-replicas' : 'activate' };
};

const activate: StepFunction = async (deps, input) => {
  const work = await loadWithTable(deps, input);
  if (work === 'ENDED') return DONE;
  await saveOperation(
    deps,
    work.operation,
    { status: 'SUCCEEDED', outcome: 'APPLIED', waitingOn: null },
    { name: 'activate', detail: `table ${work.plan.table} is active` },
    tableChange(work.table, { ...work.table.value, state: 'ACTIVE' }, 'TABLE_ACTIVE'),
  );
  return DONE;
};

/** Undoes what stands, batch by batch; then the operation has ended, rolled back. */
const rollBack: StepFunction = async (deps, input) => {
  const work = await load(deps, input);
  if (work === 'ENDED') return DONE;
  const { told, toLive, toDown } = await removalDrafts(deps, work.plan.tableId);
  if (told !== 'NONE_LEFT') {
    // Best effort now; the mailbox keeps the command for nodes that don't answer.
    await deps.commands.send([...toLive, ...toDown]);
    await removeTold(deps, work.plan.tableId, told, 'SHARD_REMOVED');
    return { next: 'roll-back' };
  }
  await endRolledBack(
    deps,
    work.operation,
    {
      code: 'STEP_FAILED',
      message: 'Nothing is left of the table: redrive the operation, or create the table again.',
    },
    work.table === null
      ? {}
      : {
          writes: [
            {
              kind: 'delete',
              entity: 'table',
              id: { table: work.plan.table },
              when: [{ kind: 'revision', is: work.table.revision }],
            },
          ],
          audit: [tableAudit(work.table, 'TABLE_REMOVED')],
        },
  );
  return DONE;
};

/** The roll-back itself kept failing: the operation ends FAILED, and deleting the table goes on from what stands. */
const fail = failWith({
  code: 'ROLL_BACK_FAILED',
  message:
    'The table could be neither created nor rolled back. Redrive the operation to go on rolling back, or delete the table.',
});

const tableAudit = (table: Stored<'table'>, action: string) => ({
  entity: `table:${table.value.tableId}`,
  number: table.revision + 1,
  action,
  principal: 'system:operation',
  detail: { table: table.value.table },
});

const tableChange = (stored: Stored<'table'>, value: TableRecord, action: string) => ({
  writes: [
    {
      kind: 'put' as const,
      entity: 'table' as const,
      value,
      when: [{ kind: 'revision' as const, is: stored.revision }],
    },
  ],
  audit: [tableAudit(stored, action)],
});

/** Nodes named in `waiting_on`. */
const NODES_NAMED_MAX = 5;

function waitsFor(what: string, drafts: readonly { readonly nodeId: NodeId }[]): string | null {
  const nodes = [...new Set(drafts.map(({ nodeId: id }) => id))].sort();
  if (nodes.length === 0) return null;
  const more = nodes.length > NODES_NAMED_MAX ? ` and ${nodes.length - NODES_NAMED_MAX} more` : '';
  return `${what} ${nodes.slice(0, NODES_NAMED_MAX).join(', ')}${more}`;
}

export const machine: OperationMachine = {
  steps: {
    plan,
    'build-directory': buildDirectory,
    'create-replicas': createReplicas,
    'start-leaders': startLeaders,
    advance,
    activate,
    'roll-back': rollBack,
    fail,
  },
  answers: {
    plan: ['plan', 'build-directory'],
    'build-directory': ['build-directory', 'create-replicas'],
    'create-replicas': ['acknowledged'],
    'start-leaders': ['acknowledged'],
    advance: ['create-replicas', 'activate'],
    'roll-back': ['roll-back'],
  },
  resume,
};
