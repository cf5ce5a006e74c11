import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import type { NodeKeyStore } from '../agent/ports.ts';

/**
 * Files of a data directory: `engine/` (replicas and identity), `node-key.pem`, `lock`, `pid`, `port`. One process at a time
 * owns a directory.
 */
export interface NodeFiles {
  /** Folder of the storage engine. */
  readonly engineFolder: string;
  readonly keys: NodeKeyStore;
  /** The port that the node used last; null before the first start. */
  lastPort(): number | null;
  rememberPort(port: number): void;
  /** Moves the engine's folder aside (L4, rolled back) and answers its new name. The engine must be closed. */
  quarantine(wallMs: number): string;
  /** Gives up the directory. */
  release(): void;
}

export interface FilesRefusal {
  readonly code: 'DIRECTORY_UNWRITABLE' | 'DIRECTORY_IN_USE';
  readonly message: string;
}

/** Result code of SQLite for a file that another process locked (sqlite.org/rescode.html). */
const SQLITE_BUSY = 5;

/** Opens and locks the directory `dataDir`, which is made when it is missing. */
export function openNodeFiles(dataDir: string): Result<NodeFiles, FilesRefusal> {
  const folder = resolve(dataDir);
  try {
    makeFolder(folder);
    const locked = lock(folder);
    if (!locked.ok) return locked;
    writeDurably(join(folder, 'pid'), `${process.pid}\n`, 0o644);
    return ok(filesIn(folder, locked.value));
  } catch (error) {
    return err({
      code: 'DIRECTORY_UNWRITABLE',
      message: `the data directory ${folder} can't be written: ${error instanceof Error ? error.message : String(error)}`,
    });
  }
}

function filesIn(folder: string, unlock: () => void): NodeFiles {
  const engineFolder = join(folder, 'engine');
  mkdirSync(engineFolder, { recursive: true, mode: 0o700 });
  const keyFile = join(folder, 'node-key.pem');
  const portFile = join(folder, 'port');
  return {
    engineFolder,
    keys: {
      load: () => (existsSync(keyFile) ? readFileSync(keyFile, 'utf8') : null),
      save: (pem) => {
        writeDurably(keyFile, pem, 0o600);
      },
    },
    lastPort: () => {
      const port = existsSync(portFile) ? Number(readFileSync(portFile, 'utf8').trim()) : Number.NaN;
      return Number.isInteger(port) && port >= 1 && port <= 65_535 ? port : null;
    },
    rememberPort: (port) => {
      writeDurably(portFile, `${port}\n`, 0o644);
    },
    quarantine: (wallMs) => {
      const aside = join(folder, `rolled-back-${wallMs}`);
      renameSync(engineFolder, aside);
      mkdirSync(engineFolder, { recursive: true, mode: 0o700 });
      syncFolder(folder);
      return aside;
    },
    release: () => {
      rmSync(join(folder, 'pid'), { force: true });
      unlock();
    },
  };
}

/**
 * A lock of the operating system behind SQLite's exclusive transaction: it ends with the process, even by SIGKILL, so a
 * directory is never left locked by a process that is gone, nor taken from one that is stopped (SIGSTOP).
 */
function lock(folder: string): Result<() => void, FilesRefusal> {
  const file = new DatabaseSync(join(folder, 'lock'));
  try {
    file.exec('PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE');
  } catch (error) {
    file.close();
    if (typeof error !== 'object' || error === null || !('errcode' in error) || error.errcode !== SQLITE_BUSY)
      throw error;
    const owner = existsSync(join(folder, 'pid')) ? readFileSync(join(folder, 'pid'), 'utf8').trim() : 'unknown';
    return err({
      code: 'DIRECTORY_IN_USE',
      message: `the data directory ${folder} is in use by another process (pid ${owner}); one process at a time may own it`,
    });
  }
  return ok(() => {
    file.exec('ROLLBACK');
    file.close();
  });
}

/** Makes a folder and its parents one by one: `recursive` never returns below a parent that refuses with ENOENT (/proc). */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder));
  mkdirSync(folder, { mode: 0o700 });
}

/** Writes a file so that after a crash it holds the old text or the new one. */
function writeDurably(path: string, text: string, mode: number): void {
  const draft = `${path}.draft`;
  rmSync(draft, { force: true });
  const file = openSync(draft, 'wx', mode);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(draft, path);
  syncFolder(join(path, '..'));
}

function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
