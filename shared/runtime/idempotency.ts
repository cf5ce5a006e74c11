import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import { conflict, invalid } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import type { IdempotencyRecord, Json } from '../domain/records.ts';
import { err, invariant } from '../domain/result.ts';
import type { Deps, RecordConflict, Records, RecordWrite, Stored } from '../ports.ts';
import { operationIdAt } from '../usecases/start-operation.ts';
import type { HttpAnswer } from './problem.ts';
import { problemAnswer, Refusal } from './problem.ts';

/**
 * `Idempotency-Key` (I-11): same key and body, one effect and the same answer for 24 h; another body is refused.
 *
 * A request first *claims* its key (a record without an answer), then works, then stores its answer in the claim. While it
 * works, every commit of the use case carries a check of the claim's revision. So a claim can be taken over when its holder
 * seems dead, without trusting clocks: a holder that was only slow can no longer commit anything.
 *
 * What remains is a holder that died between its commit and its answer, or never learned what became of its commit. The next
 * request with the key takes the claim over and runs the use case again, which meets its own effect: a table that exists (409
 * TABLE_EXISTS), a leader that leads already (409 ALREADY_LEADER or the same answer), a second join token beside the one that nobody
 * received; an operation bears an id that the claim names, so that it is found and not started twice. No effect of
 * the use cases behind these calls is worse for being tried twice; the answer may be that refusal instead of the lost one.
 *
 * Answers that ask for a retry (overload, outage, a lost race, anything with Retry-After) are not kept: a retry must be able to succeed.
 */
export const IDEMPOTENCY_KEY_HEADER = 'idempotency-key';
/** Printable ASCII, as in the IETF draft "The Idempotency-Key HTTP Header Field". */
const KEY_PATTERN = /^[\x21-\x7e]{1,255}$/;
/** Milliseconds for which an answer is kept. */
export const ANSWER_KEPT_MS = 24 * 3_600_000;
/** As many as of an operation that is started without a key. */
const OPERATION_ID_DIGITS = 12;
/** A claim without an answer is its holder's for this long (ms): longer than an API function may run (29 s), with room for clock skew. */
export const CLAIM_MS = 40_000;
/** Seconds after which a request that met another one under way asks again. */
const UNDER_WAY_RETRY_SECONDS = 1;

export interface IdempotentRequest {
  /** Principal and call: keys of different callers never meet. */
  readonly scope: string;
  readonly key: string;
  readonly requestHash: string;
}

/** Reads the header. Throws `Refusal` (400) if it is malformed; null if it is missing. */
export function idempotencyKeyOf(headers: ReadonlyMap<string, string>): string | null {
  const key = headers.get(IDEMPOTENCY_KEY_HEADER);
  if (key === undefined) return null;
  if (KEY_PATTERN.test(key)) return key;
  throw new Refusal(
    invalid('INVALID_REQUEST', 'An idempotency key is 1 to 255 printable ASCII characters without spaces.', {
      field: 'Idempotency-Key',
    }),
  );
}

/** Hash of the validated request: two spellings of the same JSON are the same request. */
export function requestHash(input: unknown): string {
  const text = canonicalize(input);
  invariant(text !== undefined, 'a validated request has a canonical form');
  return createHash('sha256').update(text).digest('hex');
}

type Claim =
  | { readonly kind: 'claimed'; readonly stored: Stored<'idempotency'> }
  | { readonly kind: 'answered'; readonly answer: HttpAnswer };

/** Runs `work` once for the key, or replays what it answered. Throws `Refusal` (409) for a reused key or a request under way. */
export async function withIdempotency(
  deps: Deps,
  request: IdempotentRequest,
  requestId: string,
  work: (deps: Deps) => Promise<HttpAnswer>,
): Promise<HttpAnswer> {
  const claim = await claimKey(deps, request, requestId);
  if (claim.kind === 'answered') return claim.answer;
  let answer: HttpAnswer;
  try {
    answer = await work({ ...deps, records: guardedRecords(deps.records, claim.stored), ...operationOf(claim.stored) });
  } catch (error) {
    // Nobody knows whether the effect took place. The claim is given up: the next request looks for itself.
    await giveUpClaim(deps, claim.stored);
    throw error;
  }
  if (isFinal(answer)) await storeAnswer(deps, claim.stored, answer);
  else await releaseClaim(deps, claim.stored);
  return answer;
}

/** A race that was lost (409 CONFLICT) asks for the same request again, as overload and outage do. */
const isFinal = ({ status, headers, body }: HttpAnswer): boolean =>
  status < 429 && headers['retry-after'] === undefined && (body as { readonly code?: unknown }).code !== 'CONFLICT';

async function claimKey(deps: Deps, request: IdempotentRequest, requestId: string): Promise<Claim> {
  const nowMs = deps.clock.wallMs();
  const value: IdempotencyRecord = {
    ...request,
    answer: null,
    createdAtMs: nowMs,
    expiresAtMs: nowMs + ANSWER_KEPT_MS,
    operationId: operationIdAt(nowMs, uniqueOf(request, nowMs)),
  };
  const first = await deps.records.observe({ kind: 'put', entity: 'idempotency', value, when: [{ kind: 'absent' }] });
  if (first.ok) return claimed(first.value);
  const held = first.error.current as Stored<'idempotency'> | null;
  if (held === null) throw new Refusal(underWay());
  if (nowMs < held.value.expiresAtMs) {
    if (held.value.requestHash !== request.requestHash) throw new Refusal(reused());
    if (held.value.answer !== null) return { kind: 'answered', answer: replay(held.value.answer, requestId) };
    if (nowMs < held.value.createdAtMs + CLAIM_MS) throw new Refusal(underWay());
  }
  const taken = await deps.records.observe({
    kind: 'put',
    entity: 'idempotency',
    // The same request, again: what its first run may have started is its own.
    value: nowMs < held.value.expiresAtMs ? { ...value, ...ownOperation(held.value) } : value,
    when: [{ kind: 'revision', is: held.revision }],
  });
  if (!taken.ok) throw new Refusal(underWay());
  return claimed(taken.value);
}

/** Digits that no other claim's operation has: of the key, and of the moment at which it was claimed. */
const uniqueOf = ({ scope, key }: IdempotentRequest, nowMs: number): string =>
  createHash('sha256')
    .update(JSON.stringify([scope, key, nowMs]))
    .digest('hex')
    .slice(0, OPERATION_ID_DIGITS);

const ownOperation = ({ operationId }: IdempotencyRecord): Pick<IdempotencyRecord, 'operationId'> =>
  operationId === undefined ? {} : { operationId };

/** The request's own operation id, to be taken once. */
function operationOf({ value }: Stored<'idempotency'>): Pick<Deps, 'takeOperationId'> {
  let left = value.operationId ?? null;
  return {
    takeOperationId: () => {
      const taken = left;
      left = null;
      return taken;
    },
  };
}

function claimed(stored: Stored<'idempotency'> | null): Claim {
  invariant(stored !== null, 'a put answers with the record');
  return { kind: 'claimed', stored };
}

const underWay = (): Fault =>
  conflict('IDEMPOTENT_REQUEST_UNDER_WAY', 'A request with this idempotency key is still under way; ask again.', {
    retryAfterSeconds: UNDER_WAY_RETRY_SECONDS,
  });

const reused = (): Fault =>
  conflict('IDEMPOTENCY_KEY_REUSED', 'This idempotency key was used for another request; take a new one.', {
    field: 'Idempotency-Key',
  });

/** The kept answer. A problem gets the id of the present request; everything else is as it was. */
function replay(answer: NonNullable<IdempotencyRecord['answer']>, requestId: string): HttpAnswer {
  const replayed = { 'idempotency-replayed': 'true' };
  if (answer.status === 200) return { status: 200, headers: { ...JSON_HEADERS, ...replayed }, body: answer.body };
  const fault = problemAnswer(invalid('INVALID_REQUEST', ''), requestId);
  const body = { ...(answer.body as { readonly [key: string]: Json }), request_id: requestId };
  return { status: answer.status, headers: { ...fault.headers, ...replayed }, body };
}

export const JSON_HEADERS = { 'content-type': 'application/json' } as const;

async function storeAnswer(deps: Deps, claim: Stored<'idempotency'>, answer: HttpAnswer): Promise<void> {
  const kept = { status: answer.status, body: answer.body as Json };
  const result = await deps.records
    .observe({
      kind: 'update',
      entity: 'idempotency',
      id: { scope: claim.value.scope, key: claim.value.key },
      set: { answer: kept },
      when: [{ kind: 'revision', is: claim.revision }],
    })
    .catch((error: unknown) => err(error));
  // The effect is committed: failing the request now would only hide that. The next one with the key looks for itself.
  if (!result.ok) deps.log.warn('idempotent-answer-not-kept', { scope: claim.value.scope, error: result.error });
}

/** Whoever comes next under the key may take the claim at once, with the operation id that it names. */
async function giveUpClaim(deps: Deps, claim: Stored<'idempotency'>): Promise<void> {
  const result = await deps.records
    .observe({
      kind: 'update',
      entity: 'idempotency',
      id: { scope: claim.value.scope, key: claim.value.key },
      set: { createdAtMs: 0 },
      when: [{ kind: 'revision', is: claim.revision }],
    })
    .catch((error: unknown) => err(error));
  // The claim ends by itself after CLAIM_MS.
  if (!result.ok) deps.log.warn('idempotency-claim-not-released', { scope: claim.value.scope, error: result.error });
}

async function releaseClaim(deps: Deps, claim: Stored<'idempotency'>): Promise<void> {
  const result = await deps.records
    .observe({
      kind: 'delete',
      entity: 'idempotency',
      id: { scope: claim.value.scope, key: claim.value.key },
      when: [{ kind: 'revision', is: claim.revision }],
    })
    .catch((error: unknown) => err(error));
  // The claim ends by itself after CLAIM_MS.
  if (!result.ok) deps.log.warn('idempotency-claim-not-released', { scope: claim.value.scope, error: result.error });
}

/** Records whose commits fail once the claim was taken over by another request. */
function guardedRecords(records: Records, claim: Stored<'idempotency'>): Records {
  const guard: RecordWrite = {
    kind: 'check',
    entity: 'idempotency',
    id: { scope: claim.value.scope, key: claim.value.key },
    when: [{ kind: 'revision', is: claim.revision }],
  };
  return {
    get: (kind, id) => records.get(kind, id),
    getMany: (kind, ids) => records.getMany(kind, ids),
    query: (kind, query) => records.query(kind, query),
    observe: (write) => records.observe(write),
    observeAll: (writes) => records.observeAll(writes),
    commit: async (change) => {
      const result = await records.commit({ ...change, writes: [...change.writes, guard] });
      if (!result.ok && isGuard(result.error, change.writes.length)) throw new Refusal(underWay());
      return result;
    },
  };
}

const isGuard = (failed: RecordConflict, writes: number): boolean => failed.index === writes;
