import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { operationCalls } from '../../shared/contracts/api/operations.ts';
import { shardCalls } from '../../shared/contracts/api/shards.ts';
import { tableCalls } from '../../shared/contracts/api/tables.ts';
import type { ControlPlane } from '../../client/index.ts';

/** Tables of the demo, by the REST API. */
const CALL_MS = 10_000;
const OPERATION_MS_MAX = 180_000;
const POLL_MS = 250;
const SHARDS_LISTED_MAX = 1_000;

export async function tableExists(controlPlane: ControlPlane, table: string): Promise<boolean> {
  const outcome = await controlPlane.call({ method: 'GET', path: `/tables/${table}`, timeoutMs: CALL_MS });
  if (outcome.kind === 'UNREACHABLE') throw new Error(outcome.message);
  if (outcome.kind === 'OK') return true;
  if (outcome.status === 404) return false;
  throw new Error(outcome.problem.detail);
}

export async function createTable(
  controlPlane: ControlPlane,
  table: string,
  preSplit: readonly string[],
): Promise<void> {
  const body = { table, pre_split: preSplit };
  const answer = await mutate(controlPlane, 'POST', '/tables', body);
  await operationDone(controlPlane, tableCalls.createTable.response.parse(answer).operation_id);
}

export async function deleteTable(controlPlane: ControlPlane, table: string): Promise<void> {
  const answer = await mutate(controlPlane, 'DELETE', `/tables/${table}`, undefined);
  await operationDone(controlPlane, tableCalls.deleteTable.response.parse(answer).operation_id);
}

/** Shards of the table by the node that leads them. */
export async function leaders(controlPlane: ControlPlane, table: string): Promise<ReadonlyMap<string, number>> {
  const outcome = await controlPlane.call({
    method: 'GET',
    path: '/shards',
    query: { table, limit: SHARDS_LISTED_MAX },
    timeoutMs: CALL_MS,
  });
  if (outcome.kind !== 'OK') throw new Error(outcome.kind === 'REFUSED' ? outcome.problem.detail : outcome.message);
  const counts = new Map<string, number>();
  for (const { leader } of shardCalls.listShards.response.parse(outcome.body).shards) {
    counts.set(leader, (counts.get(leader) ?? 0) + 1);
  }
  return counts;
}

async function mutate(
  controlPlane: ControlPlane,
  method: 'POST' | 'DELETE',
  path: string,
  body: unknown,
): Promise<unknown> {
  const outcome = await controlPlane.call({
    method,
    path,
    body,
    timeoutMs: CALL_MS,
    idempotencyKey: `demo-${randomBytes(12).toString('hex')}`,
  });
  if (outcome.kind === 'OK') return outcome.body;
  throw new Error(`${method} ${path}: ${outcome.kind === 'REFUSED' ? outcome.problem.detail : outcome.message}`);
}

async function operationDone(controlPlane: ControlPlane, id: string): Promise<void> {
  const deadline = performance.now() + OPERATION_MS_MAX;
  for (;;) {
    const outcome = await controlPlane.call({ method: 'GET', path: `/operations/${id}`, timeoutMs: CALL_MS });
    if (outcome.kind === 'OK') {
      const operation = operationCalls.getOperation.response.parse(outcome.body);
      if (operation.status === 'SUCCEEDED') return;
      if (operation.status === 'FAILED' || operation.status === 'CANCELLED') {
        throw new Error(`${operation.type} ${operation.status}: ${operation.error?.message ?? 'no reason given'}`);
      }
    }
    if (performance.now() > deadline) throw new Error(`operation ${id} did not end in ${OPERATION_MS_MAX / 1000} s`);
    await sleep(POLL_MS);
  }
}
