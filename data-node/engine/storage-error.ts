/**
 * What a disk does wrong. FULL: the write was refused, what is stored stays readable. CORRUPT, IO: the file can't be trusted
 * any more; the engine refuses everything from then on. BUSY: another process holds the file.
 */
export type StorageErrorCode = 'FULL' | 'CORRUPT' | 'IO' | 'BUSY';

export class StorageError extends Error {
  override readonly name = 'StorageError';
  readonly code: StorageErrorCode;

  constructor(code: StorageErrorCode, message: string, options?: { cause: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** SQLite's primary result codes (sqlite.org/rescode.html). */
const BUSY = [5, 6];
const IO = [8, 10, 14];
const CORRUPT = [11, 26];
const FULL = 13;

/** The storage failure behind `error`, or null if it is something else (a bug). Reads fields: across realms `instanceof` fails. */
export function asStorageError(error: unknown): StorageError | null {
  if (error instanceof StorageError) return error;
  if (typeof error !== 'object' || error === null || !('errcode' in error) || typeof error.errcode !== 'number')
    return null;
  const primary = error.errcode & 0xff;
  const text = 'message' in error ? String(error.message) : 'SQLite error';
  if (primary === FULL) return new StorageError('FULL', `the disk refuses writes: ${text}`, { cause: error });
  if (CORRUPT.includes(primary)) return new StorageError('CORRUPT', `damaged file: ${text}`, { cause: error });
  if (IO.includes(primary)) return new StorageError('IO', `the disk failed: ${text}`, { cause: error });
  if (BUSY.includes(primary))
    return new StorageError('BUSY', `another process uses the file: ${text}`, { cause: error });
  return null;
}
