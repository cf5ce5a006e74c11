import { execFileSync } from 'node:child_process';
import { closeSync, cpSync, existsSync, mkdirSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Data directories of nodes: small disks, old copies, exchanges. */

/** A whole node in a run takes a few MB; the rest is what its write-ahead log may need. 64 MiB. */
const DISK_BYTES = 64 * 1024 * 1024;
const FILLER = 'filler';
const FILLER_BLOCKS = [1024 * 1024, 4096] as const;

/** Mounts a small disk in memory at `folder`; null, or why that is not possible here. */
export function mountSmallDisk(folder: string): string | null {
  mkdirSync(folder, { recursive: true });
  try {
    const size = `size=${DISK_BYTES},mode=700`;
    execFileSync('mount', ['-t', 'tmpfs', '-o', size, 'shardkeeper-chaos', folder], { stdio: 'pipe' });
    return null;
  } catch (error) {
    return `no small disk can be mounted: ${error instanceof Error ? (error.message.split('\n')[1] ?? error.message) : String(error)}`;
  }
}

export function unmountSmallDisk(folder: string): void {
  execFileSync('umount', ['-l', folder], { stdio: 'pipe' });
}

/** Fills the disk under `folder` to the last block. Only for a small disk. */
export function fillDisk(folder: string): void {
  const file = openSync(join(folder, FILLER), 'a');
  try {
    for (const size of FILLER_BLOCKS) {
      const block = Buffer.alloc(size, 'x');
      for (let left = DISK_BYTES / size; left > 0; left--) if (!appended(file, block)) break;
    }
  } finally {
    closeSync(file);
  }
}

export const emptyDisk = (folder: string): void => rmSync(join(folder, FILLER), { force: true });

/** Between `fillDisk` and `emptyDisk`. */
export const isFull = (folder: string): boolean => existsSync(join(folder, FILLER));

function appended(file: number, block: Buffer): boolean {
  try {
    return writeSync(file, block) === block.length;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') return false;
    throw error;
  }
}

/** Replaces what is in `to` by a copy of what is in `from`. The folders themselves stay: one may be a mount. */
export function copyContents(from: string, to: string): void {
  emptyFolder(to);
  for (const name of readdirSync(from)) cpSync(join(from, name), join(to, name), { recursive: true });
}

export function emptyFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true, force: true });
}

/** Exchanges the contents of two directories. */
export function swapContents(one: string, other: string): void {
  const aside = join(dirname(one), 'swapped-aside');
  copyContents(one, aside);
  copyContents(other, one);
  copyContents(aside, other);
  rmSync(aside, { recursive: true, force: true });
}
