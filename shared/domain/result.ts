/** Expected failures are returned as values (STYLE rule 9); a `Bug` is thrown when the program itself is wrong. */
export type Result<T, E> = { ok: true; value: T } | { ok: false; error: E };

export const ok = <T>(value: T): { ok: true; value: T } => ({ ok: true, value });
export const err = <E>(error: E): { ok: false; error: E } => ({ ok: false, error });

/** A broken assumption of the program. Never caught to be turned into an answer other than 500. */
export class Bug extends Error {
  override readonly name = 'Bug';
}

/** Throws `Bug` with `message` unless `condition` holds. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Bug(message);
}

/** Marks the unreachable branch of an exhaustive switch (STYLE rule 3). */
export function assertNever(value: never): never {
  throw new Bug(`unexpected variant: ${JSON.stringify(value)}`);
}
