import { LIST_LIMIT_DEFAULT, toTimestamp } from '../contracts/primitives.ts';
import { ok } from '../domain/result.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import type { UseCase } from './types.ts';

export const listAudit: UseCase<'listAudit'> = async (deps, _principal, { query }) => {
  const after = decodeCursor(query.cursor);
  if (!after.ok) return after;
  const page = await deps.records.query('audit', {
    partition: { entity: query.entity },
    order: 'backward',
    limit: query.limit ?? LIST_LIMIT_DEFAULT,
    ...(after.value === null ? {} : { after: after.value }),
  });
  return ok({
    entries: page.items.map(({ value }) => ({
      entity: value.entity,
      number: value.number,
      action: value.action,
      principal: value.principal,
      at: toTimestamp(value.atMs),
      detail: value.detail as never,
    })),
    next_cursor: encodeCursor(page.next),
  });
};
