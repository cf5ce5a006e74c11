import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
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

/** Attempts to take over a stale lock: each is lost only to another process that takes it at the same moment. */
const LOCK_ATTEMPTS_MAX = 5;

/** Opens and locks the directory `folder`, which is made when it is missing. */
export function openNodeFiles(folder: string): Result<NodeFiles, FilesRefusal> {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
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
 * A lock file that names its owner's process and when that process started, so that a lock left behind by `kill -9` is
 * known as stale even when the pid was given to another program. Taking it is one `link`, which fails if the name exists.
 */
function lock(folder: string): Result<() => void, FilesRefusal> {
  const lockFile = join(folder, 'lock');
  const mine = JSON.stringify({ pid: process.pid, started: processStart(process.pid) });
  const candidate = join(folder, `lock.${process.pid}`);
  writeDurably(candidate, mine, 0o644);
  try {
    for (let attempt = 0; attempt < LOCK_ATTEMPTS_MAX; attempt++) {
      if (tryLink(candidate, lockFile)) {
        return ok(() => {
          if (readIfThere(lockFile) === mine) rmSync(lockFile, { force: true });
        });
      }
      const holder = readIfThere(lockFile);
      if (holder === null) continue;
      const alive = aliveOwner(holder);
      if (alive !== null) {
        return err({
          code: 'DIRECTORY_IN_USE',
          message: `the data directory ${folder} is in use by process ${alive}; one process at a time may own it`,
        });
      }
      // Renamed before it is removed: of two processes that find the lock stale, one gets it away.
      const stale = join(folder, `lock.stale.${process.pid}`);
      if (!tryRename(lockFile, stale)) continue;
      if (readIfThere(stale) !== holder) tryLink(stale, lockFile); // a fresh lock came between: put it back
      rmSync(stale, { force: true });
    }
    return err({ code: 'DIRECTORY_IN_USE', message: `other processes keep taking the data directory ${folder}` });
  } finally {
    rmSync(candidate, { force: true });
  }
}

/** Pid of the lock's owner if that very process lives, else null. */
function aliveOwner(holder: string): number | null {
  let owner: unknown;
  try {
    owner = JSON.parse(holder);
  } catch {
    return null; // a lock that was half written by a crash
  }
  if (typeof owner !== 'object' || owner === null || !('pid' in owner) || typeof owner.pid !== 'number') return null;
  if (owner.pid === process.pid) return null;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    // EPERM: the process lives and belongs to another user.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return null;
  }
  const started = 'started' in owner && typeof owner.started === 'string' ? owner.started : null;
  const startedNow = processStart(owner.pid);
  return started !== null && startedNow !== null && started !== startedNow ? null : owner.pid;
}

/** When a process started, in ticks since boot with the boot's id (Linux, proc(5)); null where that can't be told. */
function processStart(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command in parentheses may hold spaces: fields are counted behind it; the start time is field 22.
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${ticks}`;
  } catch {
    return null;
  }
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function tryRename(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
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
