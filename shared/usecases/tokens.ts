import { toTimestamp } from '../contracts/primitives.ts';
import { ok } from '../domain/result.ts';
import { principalName } from './principal.ts';
import type { UseCase } from './types.ts';

/** A data token lives an hour unless asked otherwise: long enough for a client's session, short enough to lose. */
const DATA_TOKEN_LIFETIME_S = 3600;

export const createToken: UseCase<'createToken'> = async (deps, principal, { body }) => {
  const lifetimeMs = (body.lifetime_seconds ?? DATA_TOKEN_LIFETIME_S) * 1000;
  const token = await deps.tokens.issue(
    { kind: 'data', name: principalName(principal), tables: body.tables, access: body.access },
    lifetimeMs,
  );
  return ok({ status: 'success', token, expires_at: toTimestamp(deps.clock.wallMs() + lifetimeMs) });
};
