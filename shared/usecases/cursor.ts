import { invalid } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';

/** Opaque list cursors: the store's own position as base64url, so that callers don't build on its form. */
export function encodeCursor(position: string | null): string | null {
  return position === null ? null : Buffer.from(position, 'utf8').toString('base64url');
}

export function decodeCursor(cursor: string | undefined): Result<string | null, Fault> {
  if (cursor === undefined) return ok(null);
  const position = Buffer.from(cursor, 'base64url').toString('utf8');
  if (position === '' || Buffer.from(position, 'utf8').toString('base64url') !== cursor) {
    return err(invalid('INVALID_REQUEST', 'Pass next_cursor of the page before, unchanged.', { field: 'cursor' }));
  }
  return ok(position);
}
