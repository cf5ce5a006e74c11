import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import * as z from 'zod';
import type { Random } from '../../shared/domain/environment.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import { jwkSchema } from '../../shared/contracts/node/heartbeat.ts';
import type { DurableMeta } from '../ports.ts';
import type { NodeKeyStore } from './ports.ts';

/**
 * Identity of a data directory (L4): whose it is, which directory it is (`store_uuid`), which node epoch it last
 * registered under, and a counter that every heartbeat raises and fsyncs before it is sent. A directory that presents less
 * than the control plane has seen was rolled back.
 */
export interface DataDirectory {
  readonly nodeId: string;
  readonly storeUuid: string;
  readonly privateKey: KeyObject;
  readonly publicJwk: Readonly<Record<string, string>>;
  /** Node epoch of the last registration that was persisted; null before the first one. */
  nodeEpoch(): number | null;
  /** The counter last persisted; 0 before the first one. */
  attestation(): number;
  /** Raises the counter and returns it after the fsync. Throws what the disk throws: a node that can't write must not renew. */
  attest(): number;
  /** Persists a registration before anything is done under it. */
  registered(registration: { readonly nodeEpoch: number; readonly publicKeys: ControlPlaneKeys }): void;
  /** The control plane's keys of the last registration, so that tokens can be checked before the next one. */
  publicKeys(): ControlPlaneKeys | null;
}

const publicKeysSchema = z.object({ keys: z.array(jwkSchema) });
export type ControlPlaneKeys = z.infer<typeof publicKeysSchema>;

export type DirectoryRefusal =
  | { readonly code: 'DIRECTORY_OF_ANOTHER_NODE'; readonly message: string }
  | { readonly code: 'DIRECTORY_DAMAGED'; readonly message: string };

const FIELDS = {
  nodeId: 'agent.node_id',
  storeUuid: 'agent.store_uuid',
  nodeEpoch: 'agent.node_epoch',
  attestation: 'agent.attestation',
  publicKeys: 'agent.public_keys',
} as const;

const STORE_UUID_BYTES = 16;

/**
 * Opens the identity of a directory, and makes it when the directory is empty (a wiped one thereby gets a new
 * `store_uuid`). Refuses the directory of another node and one whose identity can't be read.
 */
export function openDataDirectory(request: {
  readonly nodeId: string;
  readonly meta: DurableMeta;
  readonly keys: NodeKeyStore;
  readonly random: Random;
}): Result<DataDirectory, DirectoryRefusal> {
  const { nodeId, meta, keys, random } = request;
  const owner = meta.get(FIELDS.nodeId);
  if (owner !== null && owner !== nodeId) {
    return err({
      code: 'DIRECTORY_OF_ANOTHER_NODE',
      message: `the data directory belongs to node ${owner}, not to ${nodeId}: start it as ${owner}, or give ${nodeId} a directory of its own`,
    });
  }
  const key = loadOrMakeKey(keys);
  if (!key.ok) return key;
  if (owner === null) {
    meta.put({ [FIELDS.nodeId]: nodeId, [FIELDS.storeUuid]: `store-${random.hex(STORE_UUID_BYTES)}` });
  }
  const storeUuid = meta.get(FIELDS.storeUuid);
  const attestation = readCounter(meta, FIELDS.attestation);
  const nodeEpoch = readCounter(meta, FIELDS.nodeEpoch);
  const publicKeys = readKeys(meta);
  if (storeUuid === null || attestation === 'damaged' || nodeEpoch === 'damaged' || publicKeys === 'damaged') {
    return err({
      code: 'DIRECTORY_DAMAGED',
      message:
        'the identity stored in the data directory is incomplete or unreadable; move the directory away and start with an empty one, the replicas are copied anew',
    });
  }
  return ok(directoryOver({ nodeId, storeUuid, meta, privateKey: key.value, attestation, nodeEpoch, publicKeys }));
}

function directoryOver(state: {
  readonly nodeId: string;
  readonly storeUuid: string;
  readonly meta: DurableMeta;
  readonly privateKey: KeyObject;
  attestation: number | null;
  nodeEpoch: number | null;
  publicKeys: ControlPlaneKeys | null;
}): DataDirectory {
  return {
    nodeId: state.nodeId,
    storeUuid: state.storeUuid,
    privateKey: state.privateKey,
    publicJwk: publicJwkOf(state.privateKey),
    nodeEpoch: () => state.nodeEpoch,
    attestation: () => state.attestation ?? 0,
    attest: () => {
      const next = (state.attestation ?? 0) + 1;
      state.meta.put({ [FIELDS.attestation]: String(next) });
      state.attestation = next;
      return next;
    },
    registered: ({ nodeEpoch, publicKeys }) => {
      state.meta.put({
        [FIELDS.nodeEpoch]: String(nodeEpoch),
        [FIELDS.publicKeys]: JSON.stringify(publicKeys),
      });
      state.nodeEpoch = nodeEpoch;
      state.publicKeys = publicKeys;
    },
    publicKeys: () => state.publicKeys,
  };
}

function loadOrMakeKey(keys: NodeKeyStore): Result<KeyObject, DirectoryRefusal> {
  const stored = keys.load();
  if (stored === null) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    keys.save(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    return ok(privateKey);
  }
  try {
    return ok(createPrivateKey(stored));
  } catch {
    return err({
      code: 'DIRECTORY_DAMAGED',
      message: 'the node key in the data directory is unreadable; restore it, or remove it and start with a join token',
    });
  }
}

function publicJwkOf(privateKey: KeyObject): Readonly<Record<string, string>> {
  const jwk = createPublicKey(privateKey).export({ format: 'jwk' });
  return { kty: 'EC', crv: 'P-256', x: jwk.x ?? '', y: jwk.y ?? '' };
}

function readCounter(meta: DurableMeta, field: string): number | null | 'damaged' {
  const text = meta.get(field);
  if (text === null) return null;
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : 'damaged';
}

function readKeys(meta: DurableMeta): ControlPlaneKeys | null | 'damaged' {
  const text = meta.get(FIELDS.publicKeys);
  if (text === null) return null;
  try {
    const parsed = publicKeysSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : 'damaged';
  } catch {
    return 'damaged';
  }
}
