import { readdirSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Disk } from '../ports.ts';

/**
 * The disk under a data directory. Without `capacityBytes` the file system's own figures, other users' files included, since they take
 * space as well; with it the node's own files count against its share.
 */
export function systemDisk(dataDir: string, capacityBytes: number | null): Disk {
  return {
    use: () => {
      try {
        if (capacityBytes !== null) return { capacityBytes, usedBytes: bytesIn(dataDir) };
        const { blocks, bavail, bsize } = statfsSync(dataDir);
        // What only the superuser may fill counts as used.
        return { capacityBytes: blocks * bsize, usedBytes: (blocks - bavail) * bsize };
      } catch {
        // A file that vanished between two looks, a directory out of reach: the next beat tells again.
        return null;
      }
    },
  };
}

/** Bytes of the files directly in the folder: the engine keeps its file and the write-ahead log there. */
const bytesIn = (folder: string): number =>
  readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(folder, entry.name)).size, 0);
