import { unavailable } from '../domain/faults.ts';
import type { Json } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { UseCase } from '../usecases/types.ts';
import { openApiDocument } from './openapi.ts';
import { PRODUCT_VERSION } from './version.ts';

/** The calls that describe the API itself; both are public. */

/** True when the store answers a strong read. */
export const healthz: UseCase<'healthz'> = async (deps) => {
  try {
    await deps.records.get('config', { configKey: 'replication' });
  } catch (error) {
    deps.log.error('healthz-failed', { error });
    return err(unavailable('STORE_UNAVAILABLE', 'The metadata store does not answer.', { retryAfterSeconds: 1 }));
  }
  return ok({ status: 'ok', version: PRODUCT_VERSION });
};

let document: Json | undefined;

/** Generated at the first request of a process, then kept. */
export const openapi: UseCase<'openapi'> = () => {
  document ??= openApiDocument(PRODUCT_VERSION);
  return Promise.resolve(ok(document as Extract<Awaited<ReturnType<UseCase<'openapi'>>>, { ok: true }>['value']));
};
