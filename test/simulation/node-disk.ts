import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openEngine } from '../../data-node/engine/engine.ts';
import type { Engine } from '../../data-node/engine/engine.ts';
import type { DurableMeta } from '../../data-node/ports.ts';

/** A data directory as it was at some moment. */
export interface DiskImage {
  readonly file: string;
  readonly privateKey: string | null;
}

export interface NodeDiskOptions {
  readonly name: string;
  /** Folder of database files and images. */
  readonly folder: string;
  /**
   * FILE: as in production. MEMORY: SQLite without files, which outlives the engines of the node's processes as a file does, and the
   * directory's identity and counter beside it: each heartbeat raises it.
   */
  readonly medium: 'FILE' | 'MEMORY';
}

interface InMemory {
  readonly database: DatabaseSync;
  readonly meta: Map<string, string>;
}

/** What a node's processes find again after a crash: the engine's database and the node's key. Faults wipe it, copy it, bring a copy back. */
export class NodeDisk {
  private readonly options: NodeDiskOptions;
  private directories = 0;
  private images = 0;
  private content: { readonly file: string } | InMemory;
  private engine: Engine | null = null;
  privateKey: string | null = null;

  constructor(options: NodeDiskOptions) {
    this.options = options;
    this.content = this.empty();
  }

  /** The engine over what is stored. Throws StorageError as the production engine does. */
  open(): Engine {
    const { content } = this;
    this.engine = openEngine('file' in content ? { path: content.file } : content);
    return 'file' in content ? this.engine : withMeta(this.engine, content.meta);
  }

  /** The process is gone; what it committed stays. */
  release(): void {
    this.engine?.close();
    this.engine = null;
  }

  /** A new directory in place of this one. No process may run over it. */
  wipe(): void {
    this.discard();
    this.content = this.empty();
    this.privateKey = null;
  }

  /** A copy of the directory. No process may run over it. */
  image(): DiskImage {
    const file = join(this.options.folder, `${this.options.name}.image-${++this.images}.sqlite`);
    const { content } = this;
    const database = 'file' in content ? new DatabaseSync(content.file) : content.database;
    database.prepare('VACUUM INTO ?').run(file);
    if ('file' in content) database.close();
    else {
      const copy = openEngine({ path: file });
      copy.put(Object.fromEntries(content.meta));
      copy.close();
    }
    return { file, privateKey: this.privateKey };
  }

  /** Puts an image in place of the directory, as from a backup of the disk. No process may run over it. */
  restore(image: DiskImage): void {
    this.discard();
    const file = this.nextFile();
    copyFileSync(image.file, file);
    this.content = { file };
    this.privateKey = image.privateKey;
  }

  close(): void {
    this.release();
    this.discard();
  }

  private empty(): NodeDisk['content'] {
    const file = this.nextFile();
    return this.options.medium === 'FILE' ? { file } : { database: new DatabaseSync(':memory:'), meta: new Map() };
  }

  private nextFile(): string {
    return join(this.options.folder, `${this.options.name}.${++this.directories}.sqlite`);
  }

  private discard(): void {
    const { content } = this;
    if ('database' in content) content.database.close();
    else for (const suffix of ['', '-wal', '-shm']) rmSync(content.file + suffix, { force: true });
  }
}

function withMeta(engine: Engine, meta: Map<string, string>): Engine {
  const kept: DurableMeta = {
    get: (key) => meta.get(key) ?? null,
    put: (entries) => {
      for (const [key, value] of Object.entries(entries)) meta.set(key, value);
    },
  };
  return Object.assign(Object.create(engine) as Engine, kept);
}
