import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import type { KeyObject } from 'node:crypto';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { LocalRootOptions } from '../shared/adapters/local-root-signer.ts';
import {
  generateSigningKey,
  parsePublicKey,
  parseSigningKey,
  signingKeyToPem,
} from '../shared/adapters/signing-key.ts';
import { StartError } from './options.ts';

/** The runner's directory: `meta.sqlite`, `admin-token`, `join-token`, `keys/`, `nodes/<id>/`. Secrets are readable by their owner only. */
export interface DataDirectory {
  readonly path: string;
  readonly metaFile: string;
  readonly adminTokenFile: string;
  readonly joinTokenFile: string;
  nodeDir(nodeId: string): string;
  /** The root key, made at the first start; and the keys that are honoured besides: `keys/honoured-*.pem`, public halves will do. */
  rootKeys(): LocalRootOptions;
  /** The admin token of an earlier start, or null. */
  readAdminToken(): string | null;
  writeSecret(file: string, text: string): void;
  /** Gives the directory to the next runner. */
  release(): void;
}

const HONOURED_KEY_PATTERN = /^honoured-.+\.pem$/;
const SECRET_MODE = 0o600;
const PRIVATE_DIR_MODE = 0o700;

/** Opens or makes the directory, for this process alone. Throws `StartError` if it can't be written or another runner has it. */
export function openDataDirectory(dataDir: string): DataDirectory {
  const path = resolve(dataDir);
  try {
    for (const dir of [path, join(path, 'keys'), join(path, 'nodes')]) {
      makeDirectory(dir);
      accessSync(dir, constants.R_OK | constants.W_OK | constants.X_OK);
    }
    const probe = join(path, '.write-probe');
    writeFileSync(probe, '');
    renameSync(probe, join(path, '.writable'));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StartError(
      `The data directory ${path} can't be written: ${why}\nChoose another one with --data-dir DIR.`,
    );
  }
  const release = lockDirectory(path);
  const keyFile = join(path, 'keys', 'control-plane.pem');
  const adminTokenFile = join(path, 'admin-token');
  return {
    path,
    metaFile: join(path, 'meta.sqlite'),
    adminTokenFile,
    joinTokenFile: join(path, 'join-token'),
    nodeDir: (nodeId) => join(path, 'nodes', nodeId),
    rootKeys: () => {
      if (!existsSync(keyFile)) writeSecret(keyFile, signingKeyToPem(generateSigningKey()));
      return {
        privateKey: readKey(keyFile, parseSigningKey),
        honoured: readdirSync(join(path, 'keys'))
          .filter((name) => HONOURED_KEY_PATTERN.test(name))
          .toSorted()
          .map((name) => readKey(join(path, 'keys', name), parsePublicKey)),
      };
    },
    readAdminToken: () => (existsSync(adminTokenFile) ? readFileSync(adminTokenFile, 'utf8').trim() : null),
    writeSecret,
    release,
  };
}

function readKey(file: string, parse: (text: string) => KeyObject): KeyObject {
  try {
    return parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new StartError(
      `${file} holds no usable key (${String(error)}). Restore it, or start with an empty data directory.`,
    );
  }
}

/** Node's own recursive mkdir never returns where the system refuses a name below an existing folder (/proc). */
function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  makeDirectory(dirname(path));
  mkdirSync(path, { mode: PRIVATE_DIR_MODE });
}

/** Replaces the file in one step, so that no reader sees half of it. */
function writeSecret(file: string, text: string): void {
  const draft = `${file}.new`;
  writeFileSync(draft, text, { mode: SECRET_MODE });
  chmodSync(draft, SECRET_MODE);
  renameSync(draft, file);
}

/** A lock of the operating system behind SQLite's exclusive transaction: it ends with the process, even by SIGKILL. */
function lockDirectory(path: string): () => void {
  const lock = new DatabaseSync(join(path, 'runner.lock'));
  try {
    lock.exec('PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE');
  } catch (error) {
    lock.close();
    const code = typeof error === 'object' && error !== null && 'errcode' in error ? error.errcode : null;
    const SQLITE_BUSY = 5;
    if (code !== SQLITE_BUSY) throw error;
    throw new StartError(
      `Another runner works on ${path}.\nStop it first, or choose another directory with --data-dir DIR.`,
    );
  }
  return () => {
    lock.exec('ROLLBACK');
    lock.close();
  };
}
