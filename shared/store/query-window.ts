import { encodedKey } from '../domain/ids.ts';
import { compareKeys } from '../domain/keys.ts';
import type { QueryRequest } from '../ports.ts';

/** Order of two sort keys: by UTF-8 bytes, as DynamoDB and SQLite's binary collation order them. */
export const compareSortKeys = (left: string, right: string): number =>
  compareKeys(encodedKey(left), encodedKey(right));

/** What a query reads: an interval of sort keys, empty ones excluded. */
export interface QueryWindow {
  /** Inclusive; null = open. */
  readonly from: string | null;
  /** Inclusive; null = open. */
  readonly to: string | null;
  /** Exclusive start in the direction of reading; lies inside [from, to]. */
  readonly after: string | null;
}

/** The window of a request; null if nothing can lie in it (DynamoDB refuses empty intervals and starts outside of them). */
export function queryWindow(request: QueryRequest): QueryWindow | null {
  const from = request.from ?? null;
  const to = request.to ?? null;
  if (from !== null && to !== null && compareSortKeys(from, to) > 0) return null;
  const after = request.after ?? null;
  if (after === null) return { from, to, after };
  const belowWindow = from !== null && compareSortKeys(after, from) < 0;
  const aboveWindow = to !== null && compareSortKeys(after, to) > 0;
  if (!belowWindow && !aboveWindow) return { from, to, after };
  const windowIsAhead = request.order === 'forward' ? belowWindow : aboveWindow;
  return windowIsAhead ? { from, to, after: null } : null;
}

export function inWindow(window: QueryWindow, order: QueryRequest['order'], sk: string): boolean {
  if (window.from !== null && compareSortKeys(sk, window.from) < 0) return false;
  if (window.to !== null && compareSortKeys(sk, window.to) > 0) return false;
  if (window.after === null) return true;
  const offset = compareSortKeys(sk, window.after);
  return order === 'forward' ? offset > 0 : offset < 0;
}
