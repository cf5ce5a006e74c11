import type { OperationRecord } from '../../../shared/domain/records.ts';
import { inSyncReplicas } from '../../../shared/domain/shard.ts';
import type { StoredItem } from '../../../shared/ports.ts';
import type { MortalWorld } from '../../support/mortal-world.ts';
import { checkHistory, finalItems } from '../../support/world-checks.ts';
import type { Before, Saga } from '../scenario-kit.ts';
import { shardsOf, tableOf } from '../scenario-kit.ts';
import { lostNodes } from '../wave-scenarios.ts';
import { nameOf, TRANSIENT } from './faults.ts';
import type { Fault } from './faults.ts';
import type { Injector } from './injector.ts';

/** What must hold when an operation has come to its end, whatever went wrong on the way (I-10, and I-1 to I-3, I-7, I-9, I-16). */

/** The world as far as an operation that is rolled back must leave it as it was. */
export interface Picture extends Before {
  readonly items: ReadonlyMap<string, string>;
}

/** Fields that count changes or tell their time; an undoing raises them too (I-10: "but for generation and audit"). */
const COUNTERS: ReadonlySet<string> = new Set([
  // An abort is a transfer to any replica in sync (E2); that the leader is one is checked apart.
  'leader',
  'generation',
  'gen',
  'epoch',
  'leaderSinceMs',
  'updatedAtMs',
  'operationId',
]);

export async function pictureOf(world: MortalWorld): Promise<Picture> {
  const items = finalItems(world.base.committed).filter(
    ({ key }) => key.table === 'topology' || key.table === 'catalog',
  );
  return {
    shards: await shardsOf(world),
    table: await tableOf(world),
    items: new Map(items.map(({ key, body }) => [`${key.table} ${key.pk} ${key.sk}`, withoutCounters(body)])),
  };
}

const withoutCounters = (body: StoredItem['body']): string =>
  JSON.stringify(body, (name, value: unknown) => (COUNTERS.has(name) ? undefined : value));

/** What differs; empty if nothing does. */
function differences(before: Picture, after: Picture): string[] {
  const names = new Set([...before.items.keys(), ...after.items.keys()]);
  return [...names]
    .filter((name) => before.items.get(name) !== after.items.get(name))
    .map(
      (name) =>
        `I-10 not as before: ${name} ${after.items.get(name) ?? 'gone'}, was ${before.items.get(name) ?? 'absent'}`,
    );
}

export async function judge(
  world: MortalWorld,
  saga: Saga,
  before: Picture,
  { end, faults, injector }: { end: OperationRecord; faults: readonly Fault[]; injector: Injector },
): Promise<string[]> {
  const shards = await shardsOf(world);
  const { status, outcome, error } = end;
  const how = `${status}${outcome === null ? '' : ` ${outcome}`}${error === null ? '' : ` (${error.code}: ${error.message})`}`;
  const lost = lostNodes(world);
  const isTransient = faults.every(({ kind }) => TRANSIENT.has(kind));
  const problems = [
    ...checkHistory(world.base.committed, world.receipts),
    ...world.copies.orphans(shards, lost),
    // Where the step that tells the nodes never got through, they learn what is listed from sessions and clients (S1).
    ...(isTransient ? world.copies.missing(shards, lost) : []),
    ...checkCancel(injector, end),
  ];
  const applied = status === 'SUCCEEDED' && outcome === 'APPLIED';
  if (!applied && isTransient)
    problems.push(`retries alone should have got it over ${faults.map(nameOf).join(' and ')}: it ended ${how}`);
  if (applied) problems.push(...(await saga.outcome(world)));
  else if (outcome === 'ROLLED_BACK')
    problems.push(
      ...(saga.undone === undefined ? differences(before, await pictureOf(world)) : await saga.undone(world, before)),
    );
  else if (error === null) problems.push(`I-10 it ended ${how}, without a reason`);
  if (!applied) problems.push(...(await checkServing(world)));
  return problems;
}

/** A cancel that was accepted is obeyed, one that was refused is not. */
function checkCancel(injector: Injector, { status, outcome }: OperationRecord): string[] {
  if (injector.has('redriven') || injector.cancels.length === 0) return [];
  const accepted = injector.cancels.some((answer) => answer.status === 200);
  if (accepted && status === 'SUCCEEDED') return ['a cancel was accepted and not obeyed'];
  if (!accepted && status === 'CANCELLED') return [`a cancel was refused, and it ended CANCELLED ${outcome ?? ''}`];
  return [];
}

/** Every shard of an active table has a leader that holds its lease's node epoch, and enough copies in sync. */
async function checkServing(world: MortalWorld): Promise<string[]> {
  if ((await tableOf(world))?.state !== 'ACTIVE') return [];
  const problems: string[] = [];
  for (const shard of await shardsOf(world)) {
    const { leader, shardId } = shard;
    const lease = (await world.base.deps.liveness.of([leader.nodeId])).get(leader.nodeId);
    if (lease?.nodeEpoch !== leader.nodeEpoch) problems.push(`I-10 ${shardId} is led under a void node epoch`);
    const inSync = inSyncReplicas(shard);
    if (!inSync.some(({ replicaId }) => replicaId === leader.replicaId))
      problems.push(`I-10 the leader of ${shardId} is not in sync`);
    if (inSync.length < shard.minInSync) problems.push(`I-7 ${shardId} has ${inSync.length} copies in sync`);
  }
  return problems;
}
