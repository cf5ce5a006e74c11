import { encodedKey } from '../../shared/domain/ids.ts';
import { compareKeys, rangeContains } from '../../shared/domain/keys.ts';
import { invariant } from '../../shared/domain/result.ts';
import type { ReplicaMeta, RowSegment } from './types.ts';

/** Where in the row storages the keys of a replica are. Keys are encoded (domain/keys.ts). */

export interface Range {
  readonly from: string;
  /** Exclusive; null is the end of the key space. */
  readonly to: string | null;
}

export const orderOf = (left: string, right: string): number => compareKeys(encodedKey(left), encodedKey(right));

/** The replica's own range, by its durable descriptor. */
export const rangeOf = (meta: ReplicaMeta): Range => ({
  from: meta.descriptor.start_key,
  to: meta.descriptor.end_key,
});

export const covers = ({ from, to }: Range, key: string): boolean =>
  rangeContains({ startKey: encodedKey(from), endKey: to === null ? null : encodedKey(to) }, encodedKey(key));

const lesserEnd = (left: string | null, right: string | null): string | null => {
  if (left === null || right === null) return left ?? right;
  return orderOf(left, right) <= 0 ? left : right;
};

/** The part of `range` that `bounds` covers; null if there is none. */
export function within(range: Range, bounds: Range): Range | null {
  const from = orderOf(range.from, bounds.from) >= 0 ? range.from : bounds.from;
  const to = lesserEnd(range.to, bounds.to);
  return to !== null && orderOf(from, to) >= 0 ? null : { from, to };
}

/** Row storage of a key of the replica. */
export function rowsIdOf(segments: readonly RowSegment[], key: string): number {
  const segment = segments.findLast(({ from }) => orderOf(from, key) <= 0);
  invariant(segment !== undefined, 'a key of the replica has a row storage');
  return segment.rowsId;
}

/** The parts of `range`, in order, each in one row storage. */
export function segmentsIn(segments: readonly RowSegment[], range: Range): (Range & { readonly rowsId: number })[] {
  return segments.flatMap(({ from, rowsId }, index) => {
    const part = within(range, { from, to: segments[index + 1]?.from ?? null });
    return part === null ? [] : [{ ...part, rowsId }];
  });
}
