import { entities } from '../../shared/store/entities.ts';
import type { EntityKind, EntityValue, StoredItem } from '../../shared/ports.ts';
import type { CommittedWrite } from '../../shared/store/faults.ts';
import { MetadataWatch } from '../simulation/metadata-watch.ts';

/** What must hold of everything that a store has committed, however the processes behind it died, repeated or met. */

export interface Receipt {
  readonly shard_id: string;
  readonly replica_id: string;
  readonly epoch: number;
  readonly generation: number;
  /** Commits before it was given; before all of them where it does not say. */
  readonly afterCommits?: number;
}

/** All of it at once. `receipts`: step-down receipts that nodes gave (E2). */
export function checkHistory(commits: readonly (readonly CommittedWrite[])[], receipts: readonly Receipt[]): string[] {
  return [...checkInvariants(commits, receipts), ...checkAuditNumbers(commits), ...checkNothingIsLeft(commits)];
}

/** The metadata's invariants after every commit, and I-1 at the end. */
export function checkInvariants(
  commits: readonly (readonly CommittedWrite[])[],
  receipts: readonly Receipt[] = [],
): string[] {
  const problems: string[] = [];
  const watch = new MetadataWatch(
    ({ invariant, rule, subject, message }) => problems.push(`${invariant} ${rule ?? ''} ${subject}: ${message}`),
    () => undefined,
    () => false,
  );
  // A replica's later receipt replaces its earlier one, so they come as they came.
  for (let number = 0; number <= commits.length; number++) {
    for (const { shard_id, replica_id, afterCommits = 0, ...receipt } of receipts)
      if (afterCommits === number) watch.receiptGiven(shard_id, replica_id, receipt);
    const writes = commits[number];
    if (writes !== undefined) watch.committed(writes);
  }
  watch.checkTables();
  return problems;
}

/** I-16: the numbers of each entity's audit entries have no gap, and none is given twice. */
export function checkAuditNumbers(commits: readonly (readonly CommittedWrite[])[]): string[] {
  const next = new Map<string, number>();
  const problems: string[] = [];
  const entries = valuesOf('audit', commits);
  const written = new Set(entries.map(({ entity, number }) => `${entity}#${number}`));
  for (const entry of entries) {
    const { entity, number } = entry;
    const expected = next.get(entity) ?? number;
    if (number !== expected && mergedAfter(entry) !== expected - 1)
      problems.push(`I-16 ${entity}: audit entry ${number} follows ${expected - 1}`);
    if (!next.has(entity) && number !== 1 && !written.has(`${splitOf(entry)}#${number}`))
      problems.push(`I-16 ${entity}: its first audit entry is number ${number}`);
    next.set(entity, number + 1);
  }
  return problems;
}

/** A shard's entries bear its generations: those of a split's child begin with the parent's entry of the same commit (I-2). */
const splitOf = ({ entity, action, detail }: EntityValue<'audit'>): string | null => {
  const { parent, child } = detail as { readonly parent?: string; readonly child?: string };
  return action === 'SHARD_SPLIT' && entity === `shard:${child}` ? `shard:${parent}` : null;
};

/** A merged shard's generation exceeds both parents': its entry tells the number that it follows (I-2). */
const mergedAfter = ({ action, detail }: EntityValue<'audit'>): number | null =>
  action === 'SHARDS_MERGED' ? ((detail as { readonly follows?: number }).follows ?? null) : null;

/** I-10: once all is quiet, every operation has ended, nothing holds or waits for anything, and no command lies about. */
export function checkNothingIsLeft(commits: readonly (readonly CommittedWrite[])[]): string[] {
  const items = finalItems(commits);
  const left = (kind: EntityKind): readonly StoredItem[] => items.filter(({ key }) => isOf(kind, key));
  return [
    ...left('operation')
      .map(({ body }) => entities.operation.codec.decode(body))
      .filter(({ status }) => !['SUCCEEDED', 'FAILED', 'CANCELLED'].includes(status))
      .map(({ operationId, status }) => `I-10 ${operationId} is ${status} for good`),
    ...left('openIntent').map(({ key }) => `E2 intent left open: ${key.sk}`),
    ...left('command').map(({ key }) => `command left: ${key.pk} ${key.sk}`),
    ...left('shard')
      .map(({ body }) => entities.shard.codec.decode(body))
      .filter(({ state, intent }) => state.kind !== 'ACTIVE' || intent !== null)
      .map(({ shardId, state }) => `I-10 ${shardId} is left ${state.kind}, or with an intent`),
  ];
}

/** Items as the last commits left them. */
export function finalItems(commits: readonly (readonly CommittedWrite[])[]): readonly StoredItem[] {
  const items = new Map<string, StoredItem>();
  for (const { key, after } of commits.flat()) {
    const name = `${key.table}|${key.pk}|${key.sk}`;
    if (after === null) items.delete(name);
    else items.set(name, after);
  }
  return [...items.values()];
}

/** Every value of a kind that was ever written, in the order of the commits. */
export function valuesOf<K extends EntityKind>(
  kind: K,
  commits: readonly (readonly CommittedWrite[])[],
): EntityValue<K>[] {
  return commits
    .flat()
    .filter(({ key, after }) => after !== null && isOf(kind, key))
    .map(({ after }) => entities[kind].codec.decode((after as StoredItem).body));
}

/** First characters of partition keys, by kind, where a table holds several kinds under sort keys that look alike. */
const PARTITION_OF: Partial<Record<EntityKind, RegExp>> = {
  audit: /^A#/,
  event: /^E#/,
  openIntent: /^INTENTS$/,
  shardRecovery: /^RECOVERIES$/,
  nodePace: /^PACE$/,
  nodeReplica: /^N#/,
  shard: /^P#/,
  separator: /^R#/,
  command: /^N#/,
  operation: /^OPERATIONS$/,
};

function isOf(kind: EntityKind, key: StoredItem['key']): boolean {
  const spec = entities[kind];
  return key.table === spec.table && key.sk.startsWith(spec.sortPrefix) && PARTITION_OF[kind]?.test(key.pk) !== false;
}
