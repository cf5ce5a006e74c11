import type { Call } from '../contracts/api/call.ts';
import { invalid, preconditionFailed } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { nodeId, operationId, shardId, tableName } from '../domain/ids.ts';
import type { Revision } from '../domain/ids.ts';
import { assertNever, err } from '../domain/result.ts';
import type { Change, Condition, Deps, Records, RecordWrite } from '../ports.ts';
import { putKey, recordKey } from '../store/entities.ts';
import type { HttpAnswer } from './problem.ts';
import { problemAnswer, Refusal } from './problem.ts';

/**
 * `If-Match` (DESIGN section 8): a change is made only if its resource still has the revision that the caller saw, as `ETag` of the call that
 * shows it. A shard's revision is its generation: its record's own starts anew when the shard goes to another page.
 *
 * The revision is looked at before the work, for a clear answer, and again inside the first commit that the work makes: nobody gets in between.
 * Commits after it are of the change itself.
 */
export const IF_MATCH_HEADER = 'if-match';
const REVISION_PATTERN = /^"(0|[1-9]\d{0,14})"$/;

export const etagOf = (revision: number): string => `"${revision}"`;

/** The revision that a request asks for; null if it asks for none. Throws `Refusal` (400). */
export function expectedRevision(call: Call, headers: ReadonlyMap<string, string>): number | null {
  const text = headers.get(IF_MATCH_HEADER);
  if (text === undefined || call.method === 'GET') return null;
  if (call.revisionOf === undefined)
    throw new Refusal(bad('This call changes no single resource that has a revision: leave If-Match out.'));
  const revision = REVISION_PATTERN.exec(text.trim())?.[1];
  if (revision === undefined)
    throw new Refusal(bad('If-Match is one revision in quotes, as ETag gives it: `If-Match: "7"`.'));
  return Number(revision);
}

const bad = (message: string): Fault => invalid('INVALID_REQUEST', message, { field: 'If-Match' });

/** A call's resource: what it is, and which one. */
export interface Subject {
  readonly of: NonNullable<Call['revisionOf']>;
  /** In words. */
  readonly name: string;
  readonly id: string;
}

export function subjectOf(call: Call, params: Readonly<Record<string, unknown>>): Subject | null {
  if (call.revisionOf === undefined) return null;
  // A configuration key is the last part of its path.
  const id = call.revisionOf === 'config' ? (call.path.split('/').at(-1) ?? '') : String(Object.values(params)[0]);
  return { of: call.revisionOf, name: `${call.revisionOf} ${id}`, id };
}

/** Where the revision stands now. */
interface Place {
  /** Null: there is no such resource. A configuration key that was never set is at 0. */
  readonly revision: number | null;
  readonly key: Pick<Extract<RecordWrite, { kind: 'check' }>, 'entity' | 'id'>;
  readonly unchanged: readonly Condition[];
}

async function placeOf(deps: Deps, { of, id }: Subject, expected: number): Promise<Place> {
  const unchanged: readonly Condition[] =
    expected === 0 ? [{ kind: 'absent' }] : [{ kind: 'revision', is: expected as Revision }];
  switch (of) {
    case 'shard': {
      const located = await deps.directory.locate(shardId(id));
      const key = {
        entity: 'shard' as const,
        id: { page: located?.page ?? ('' as never), startKey: located?.shard.startKey ?? ('' as never) },
      };
      const same: readonly Condition[] = [
        { kind: 'equals', field: 'shardId', value: id },
        { kind: 'equals', field: 'generation', value: expected },
      ];
      return { revision: located?.shard.generation ?? null, key, unchanged: same };
    }
    case 'node': {
      const key = { nodeId: nodeId(id) };
      const stored = await deps.records.get('node', key);
      return { revision: stored?.revision ?? null, key: { entity: 'node', id: key }, unchanged };
    }
    case 'table': {
      const key = { table: tableName(id) };
      const stored = await deps.records.get('table', key);
      return { revision: stored?.revision ?? null, key: { entity: 'table', id: key }, unchanged };
    }
    case 'operation': {
      const key = { operationId: operationId(id) };
      const stored = await deps.records.get('operation', key);
      return { revision: stored?.revision ?? null, key: { entity: 'operation', id: key }, unchanged };
    }
    case 'config': {
      const key = { configKey: id };
      const stored = await deps.records.get('config', key);
      return { revision: stored?.revision ?? 0, key: { entity: 'config', id: key }, unchanged };
    }
    default:
      return assertNever(of);
  }
}

/** The revision for `ETag`, to be read before what is shown: an older one is refused for nothing, a newer one would hide a change. */
export const currentRevision = async (deps: Deps, subject: Subject): Promise<number | null> =>
  (await placeOf(deps, subject, 0)).revision;

/** Runs `work` if its resource is at `expected`. A resource that does not exist is the work's to refuse. */
export async function withIfMatch(
  deps: Deps,
  {
    subject,
    expected,
    requestId,
  }: { readonly subject: Subject; readonly expected: number; readonly requestId: string },
  work: (deps: Deps) => Promise<HttpAnswer>,
): Promise<HttpAnswer> {
  const { revision } = await placeOf(deps, subject, expected);
  if (revision !== null && revision !== expected)
    return problemAnswer(mismatch(subject, expected, revision), requestId);
  const guard = { isSpent: false };
  const answer = await work({ ...deps, records: guarded(deps, subject, expected, guard) });
  if (answer.status === 200 || guard.isSpent) return answer;
  // Refused without a commit: was it because somebody else was quicker?
  const after = (await placeOf(deps, subject, expected)).revision;
  return after === null || after === expected ? answer : problemAnswer(mismatch(subject, expected, after), requestId);
}

const mismatch = ({ name }: Subject, expected: number, revision: number): Fault =>
  preconditionFailed(
    'REVISION_MISMATCH',
    `The ${name} is at revision ${revision}, not ${expected} as If-Match asks. Read it again, and decide anew.`,
    { detail: { revision, expected } },
  );

/** Records whose first commit carries the condition. */
function guarded(deps: Deps, subject: Subject, expected: number, guard: { isSpent: boolean }): Records {
  const { records } = deps;
  return {
    ...records,
    commit: async (change) => {
      if (guard.isSpent) return records.commit(change);
      const place = await placeOf(deps, subject, expected);
      if (place.revision !== expected) return err({ code: 'CONDITION_FAILED', index: 0, current: null });
      const committed = await records.commit(withCondition(change, place));
      if (committed.ok) guard.isSpent = true;
      return committed;
    },
  };
}

/** The condition on the write of that record, if the change has one: a transaction names an item once. */
function withCondition(change: Change, { key, unchanged }: Place): Change {
  const name = (write: RecordWrite): string => {
    const { table, pk, sk } =
      write.kind === 'put'
        ? putKey(write.entity, write.value, 'id' in write ? write.id : undefined)
        : recordKey(write.entity, write.id);
    return `${table} ${pk} ${sk}`;
  };
  const check = { kind: 'check', ...key, when: unchanged } as RecordWrite;
  const wanted = name(check);
  if (!change.writes.some((write) => name(write) === wanted)) return { ...change, writes: [...change.writes, check] };
  const missing = (when: readonly Condition[]): readonly Condition[] =>
    unchanged.filter((one) => !when.some((other) => JSON.stringify(other) === JSON.stringify(one)));
  return {
    ...change,
    writes: change.writes.map((write) =>
      name(write) === wanted ? { ...write, when: [...write.when, ...missing(write.when)] } : write,
    ),
  };
}
