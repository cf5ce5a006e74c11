import { generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import canonicalize from 'canonicalize';
import jsonwebtoken from 'jsonwebtoken';
import type { DurableMeta, Environment, ShardHost } from '../../../data-node/ports.ts';
import { CERTIFICATE_TYPE } from '../../../shared/contracts/certificates.ts';
import type { NodeCommand } from '../../../shared/contracts/node/commands.ts';
import { seededRandom } from '../../simulation/random.ts';
import { VirtualTime } from '../../simulation/virtual-time.ts';

/** A control plane's key as tests need it: tokens, command signatures, JWKS. */
export function testAuthority() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = publicKey.export({ format: 'jwk' });
  /** A key of a process, certified by the root; `claims` and `type` may make the certificate a bad one. */
  const certifiedKey = (
    claims: Readonly<Record<string, unknown>>,
    type: string = CERTIFICATE_TYPE,
  ): CertifiedTestKey => {
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { x, y } = pair.publicKey.export({ format: 'jwk' });
    const payload = {
      iss: 'shardkeeper',
      key: { kty: 'EC', crv: 'P-256', x, y },
      iat: 0,
      exp: 4_000_000_000,
      ...claims,
    };
    const certificate = jsonwebtoken.sign(payload, privateKey, {
      algorithm: 'ES256',
      keyid: 'k1',
      header: { alg: 'ES256', typ: type },
    });
    return { privateKey: pair.privateKey, certificate };
  };
  return {
    jwks: { keys: [{ kty: 'EC', crv: 'P-256', x: jwk.x ?? '', y: jwk.y ?? '', kid: 'k1', alg: 'ES256' }] },
    privateKey,
    token: (claims: Readonly<Record<string, unknown>>): string =>
      jsonwebtoken.sign({ iss: 'shardkeeper', ...claims }, privateKey, { algorithm: 'ES256', keyid: 'k1' }),
    certifiedKey,
    signed: (
      command: NodeCommand & Readonly<Record<string, unknown>>,
      by: CertifiedTestKey = certifiedKey({ purpose: 'command' }),
    ) => ({
      ...command,
      signature: sign('sha256', Buffer.from(canonicalize(command) ?? ''), {
        key: by.privateKey,
        dsaEncoding: 'ieee-p1363',
      }).toString('base64url'),
      certificate: by.certificate,
    }),
  };
}

export interface CertifiedTestKey {
  readonly privateKey: KeyObject;
  readonly certificate: string;
}

export const command = (overrides: Partial<NodeCommand> = {}): NodeCommand => ({
  command_id: 'command-1',
  type: 'remove_replica',
  node_id: 'node-101',
  shard_id: 'shard-1',
  replica_id: 'replica-1',
  epoch: 3,
  generation: 9,
  issued_at_ms: 1,
  descriptor: null,
  related: null,
  ...overrides,
});

export function memoryMeta(stored: Record<string, string> = {}): DurableMeta & { stored: Record<string, string> } {
  return {
    stored,
    get: (key) => stored[key] ?? null,
    put: (entries) => {
      Object.assign(stored, entries);
    },
  };
}

export function memoryKeys(pem: string | null = null) {
  let kept = pem;
  return {
    load: () => kept,
    save: (text: string) => {
      kept = text;
    },
  };
}

export function virtualEnvironment(name: string): { time: VirtualTime; environment: Environment } {
  const time = new VirtualTime();
  const process = time.processEnvironment({ name });
  const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
  return {
    time,
    environment: { clock: process.clock, timers: process.timers, random: seededRandom(name), log: silent },
  };
}

/** A shard host that remembers what it was asked. */
export function recordingHost() {
  const registrations: { nodeEpoch: number }[] = [];
  const applied: NodeCommand[] = [];
  let closed = 0;
  const host: ShardHost = {
    apply: (received) => {
      applied.push(received);
      return Promise.resolve({
        command_id: received.command_id,
        outcome: 'DONE',
        code: null,
        message: null,
        receipt: null,
      });
    },
    registered: ({ nodeEpoch }) => {
      registrations.push({ nodeEpoch });
    },
    stats: () => ({ shards: 0, leaders: 0, bytes: 0, requests_per_second: 0, fsync_ms_p99: 0, busiest: [] }),
    handlePeer: () => Promise.resolve({ status: 200, body: { peer: true } }),
    handleData: () => Promise.resolve({ status: 200, body: { data: true } }),
    close: () => {
      closed++;
      return Promise.resolve();
    },
  };
  return { host, registrations, applied, closedTimes: () => closed };
}
