import type * as z from 'zod';
import {
  batchRequestSchema,
  DATA_ERROR_STATUS,
  deleteRowRequestSchema,
  getRowRequestSchema,
  putRowRequestSchema,
  scanRequestSchema,
  VALUE_BYTES_MAX,
} from '../../shared/contracts/data/rows.ts';
import type {
  BatchRequest,
  DataErrorCode,
  DeleteRowRequest,
  GetRowRequest,
  PutRowRequest,
  Route,
  ScanRequest,
} from '../../shared/contracts/data/rows.ts';
import { encodedKey } from '../../shared/domain/ids.ts';
import type { EncodedKey } from '../../shared/domain/ids.ts';
import { encodeKey, rangeContains, utf8Bytes } from '../../shared/domain/keys.ts';
import type { Json } from '../../shared/domain/records.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import type { RowChange } from '../engine/types.ts';

/** Content of one batch in bytes: it becomes one log entry and one append to each follower. 4 MiB. */
export const BATCH_BYTES_MAX = 4 * 1024 * 1024;

export interface Refusal {
  readonly code: DataErrorCode;
  readonly message: string;
  readonly route?: Route | null;
  readonly retryAfterMs?: number;
}

export type DataRequest =
  | { readonly verb: 'get'; readonly request: GetRowRequest }
  | { readonly verb: 'scan'; readonly request: ScanRequest }
  | { readonly verb: 'put'; readonly request: PutRowRequest }
  | { readonly verb: 'delete'; readonly request: DeleteRowRequest }
  | { readonly verb: 'batch'; readonly request: BatchRequest };

export const refusalAnswer = (refusal: Refusal): { status: number; body: Json } => ({
  status: DATA_ERROR_STATUS[refusal.code],
  body: {
    code: refusal.code,
    message: refusal.message,
    route: refusal.route ?? null,
    retry_after_ms: refusal.retryAfterMs ?? null,
  },
});

const invalid = (message: string): { ok: false; error: Refusal } => err({ code: 'INVALID_REQUEST', message });

function parse<S extends z.ZodType>(schema: S, body: unknown): Result<z.infer<S>, Refusal> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return ok(parsed.data);
  const issue = parsed.error.issues[0];
  return invalid(`${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'invalid'}`);
}

/** The request behind `POST /data/<verb>`; a refusal names the field at fault. */
export function parseDataRequest(verb: string, body: unknown): Result<DataRequest, Refusal> {
  switch (verb) {
    case 'get':
      return withVerb('get', parse(getRowRequestSchema, body));
    case 'scan':
      return withVerb('scan', parse(scanRequestSchema, body));
    case 'put':
      return withVerb('put', parse(putRowRequestSchema, body));
    case 'delete':
      return withVerb('delete', parse(deleteRowRequestSchema, body));
    case 'batch':
      return withVerb('batch', parse(batchRequestSchema, body));
    default:
      return invalid('unknown verb: one of get, put, delete, batch, scan');
  }
}

const withVerb = <V extends string, R>(
  verb: V,
  parsed: Result<R, Refusal>,
): Result<{ verb: V; request: R }, Refusal> => (parsed.ok ? ok({ verb, request: parsed.value }) : parsed);

/** Encodes a key as the caller wrote it and checks that the shard holds it. */
export function keyInShard(descriptor: WireDescriptor, key: string, field: string): Result<EncodedKey, Refusal> {
  const encoded = encodeKey(descriptor.key_type, key);
  if (!encoded.ok) return invalid(`${field}: ${encoded.error.code} for keys of type ${descriptor.key_type}`);
  const range = {
    startKey: encodedKey(descriptor.start_key),
    endKey: descriptor.end_key === null ? null : encodedKey(descriptor.end_key),
  };
  if (!rangeContains(range, encoded.value))
    return err({ code: 'KEY_OUT_OF_RANGE', message: `${field}: the shard does not hold this key` });
  return encoded;
}

/** The row changes of a write, keys encoded, values as JSON text; one for each key, in order (the last of a batch wins). */
export function changesOf(
  descriptor: WireDescriptor,
  { verb, request }: Extract<DataRequest, { verb: 'put' | 'delete' | 'batch' }>,
): Result<RowChange[], Refusal> {
  const rows =
    verb === 'batch'
      ? request.rows.map((row, index) => ({ ...row, field: `rows.${index}` }))
      : verb === 'put'
        ? [{ op: 'put' as const, key: request.key, value: request.value, field: '' }]
        : [{ op: 'delete' as const, key: request.key, field: '' }];
  const changes = new Map<string, RowChange>();
  let bytes = 0;
  for (const row of rows) {
    const at = (name: string): string => (row.field === '' ? name : `${row.field}.${name}`);
    const key = keyInShard(descriptor, row.key, at('key'));
    if (!key.ok) return key;
    const value = row.op === 'put' ? JSON.stringify(row.value) : null;
    const size = value === null ? 0 : utf8Bytes(value);
    if (size > VALUE_BYTES_MAX) return invalid(`${at('value')}: at most ${VALUE_BYTES_MAX} bytes as JSON`);
    bytes += size;
    changes.delete(key.value);
    changes.set(key.value, { key: key.value, value });
  }
  if (bytes > BATCH_BYTES_MAX) return invalid(`rows: at most ${BATCH_BYTES_MAX} bytes of values in one batch`);
  return ok([...changes.values()]);
}
