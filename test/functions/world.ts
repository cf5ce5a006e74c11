import { generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { createControlPlane } from '../../local/control-plane.ts';
import type { ControlPlane } from '../../local/control-plane.ts';
import type { GatewayRequest } from '../../local/gateway.ts';
import { createLocalRootSigner } from '../../shared/adapters/local-root-signer.ts';
import { generateSigningKey } from '../../shared/adapters/signing-key.ts';
import { err } from '../../shared/domain/result.ts';
import { incarnation, nodeEpoch, nodeId } from '../../shared/domain/ids.ts';
import type { Logger } from '../../shared/ports.ts';
import { SqliteStore } from '../../shared/store/sqlite-store.ts';
import { ManualClock, ManualTimers, seededRandom } from '../support/environment.ts';
import { ScriptedFaults } from '../support/store.ts';

/** A control plane over the embedded store in memory, called through the front door: authorizer, then function. */

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface LogLine {
  readonly level: string;
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface ApiWorld {
  readonly controlPlane: ControlPlane;
  readonly clock: ManualClock;
  readonly faults: ScriptedFaults;
  readonly log: readonly LogLine[];
  /** Number of writes and transactions that the store has applied. */
  commits(): number;
  readonly admin: string;
  send(request: GatewayRequest): Promise<Answer>;
  /** A call with a token (the admin's when left out; null: none) and a JSON body. */
  call(
    method: string,
    path: string,
    options?: { token?: string | null; body?: unknown; headers?: Record<string, string> },
  ): Promise<Answer>;
  register(node: { id: string; port: number; zone: string; key?: KeyObject }): Promise<RegisteredNode>;
  close(): Promise<void>;
}

export interface RegisteredNode {
  readonly id: string;
  readonly credential: string;
  readonly nodeEpoch: number;
  readonly incarnation: string;
}

const HOUR_MS = 3_600_000;

export async function apiWorld(seed = 1): Promise<ApiWorld> {
  const clock = new ManualClock();
  const timers = new ManualTimers(clock);
  const random = seededRandom(seed);
  const faults = new ScriptedFaults();
  const lines: LogLine[] = [];
  const write =
    (level: string) =>
    (event: string, fields: Readonly<Record<string, unknown>> = {}): void =>
      void lines.push({ level, event, fields });
  const log: Logger = { info: write('info'), warn: write('warn'), error: write('error') };
  let commits = 0;
  const store = new SqliteStore({ path: ':memory:', random, timers, faults, onCommit: () => void commits++ });
  const controlPlane = createControlPlane({
    store,
    nodes: {
      push: (node) => Promise.resolve(err({ code: 'NODE_UNREACHABLE', message: `${node.nodeId} is not there` })),
    },
    root: createLocalRootSigner({ privateKey: generateSigningKey() }),
    clock,
    timers,
    random,
    log,
    settings: { leaseProfile: 'standard', pushToNodes: false, defaultReplicationFactor: 3 },
  });
  const admin = await controlPlane.issueAdminToken('ann', HOUR_MS);
  const send = async (request: GatewayRequest): Promise<Answer> => {
    const result = await controlPlane.handle(request);
    const headers = Object.fromEntries(
      Object.entries(result.headers ?? {}).map(([name, value]) => [name, String(value)]),
    );
    return { status: result.statusCode, headers, body: JSON.parse(result.body) as Answer['body'] };
  };
  const call: ApiWorld['call'] = (method, path, { token = admin, body, headers = {} } = {}) => {
    const [bare = '/', query = ''] = path.split('?');
    return send({
      method,
      path: bare,
      query,
      headers: [...(token === null ? [] : [['Authorization', `Bearer ${token}`] as const]), ...Object.entries(headers)],
      body: body === undefined ? null : JSON.stringify(body),
    });
  };
  return {
    controlPlane,
    clock,
    faults,
    log: lines,
    commits: () => commits,
    admin,
    send,
    call,
    register: async ({ id, port, zone, key }) => {
      const issued = await call('POST', '/cluster/join-tokens', { body: {} });
      const answer = await call('POST', '/cluster/nodes/register', {
        token: issued.body['join_token'] as string,
        body: {
          node_id: id,
          host: '127.0.0.1',
          port,
          zone,
          ...(key === undefined ? {} : { public_key: publicHalf(key) }),
        },
      });
      if (answer.status !== 200) throw new Error(`not registered: ${JSON.stringify(answer.body)}`);
      return {
        id,
        credential: answer.body['credential'] as string,
        nodeEpoch: answer.body['node_epoch'] as number,
        incarnation: answer.body['incarnation'] as string,
      };
    },
    close: async () => {
      await controlPlane.operations.stop();
      store.close();
    },
  };
}

export const newNodeKey = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

export function publicHalf(key: KeyObject): Record<string, string> {
  const { d: _private, ...rest } = key.export({ format: 'jwk' }) as Record<string, string>;
  return rest;
}

/** The token by which a node proves itself by its own key. */
export function nodeKeyToken(key: KeyObject, id: string, nowMs: number, claims: Record<string, unknown> = {}): string {
  const iat = Math.floor(nowMs / 1000);
  return jwt.sign({ iss: 'node', sub: id, aud: 'register', iat, exp: iat + 60, ...claims }, key, {
    algorithm: 'ES256',
  });
}

/** Tokens of every kind of caller, for a world in which `node` is registered with `key`. */
export async function tokensOf(
  world: ApiWorld,
  node: RegisteredNode,
  key: KeyObject,
): Promise<Record<string, string | null>> {
  const { tokens } = world.controlPlane.deps;
  return {
    nobody: null,
    garbage: 'not.a.token',
    admin: world.admin,
    joiner: await tokens.issue({ kind: 'joiner', tokenId: 'jt-unknown' }, HOUR_MS),
    node: await tokens.issue(
      {
        kind: 'node',
        nodeId: nodeId(node.id),
        nodeEpoch: nodeEpoch(node.nodeEpoch),
        incarnation: incarnation(node.incarnation),
      },
      HOUR_MS,
    ),
    nodeKey: nodeKeyToken(key, node.id, world.clock.wallMs()),
    data: await tokens.issue({ kind: 'data', name: 'app', tables: ['*'], access: 'read-write' }, HOUR_MS),
  };
}
