import * as z from 'zod';
import { DATA_ERROR_STATUS } from '../../shared/contracts/data/rows.ts';
import type { DataErrorCode } from '../../shared/contracts/data/rows.ts';
import { COMMANDS_PER_MESSAGE_MAX } from '../../shared/contracts/node/commands.ts';
import { relayedBeatSchema } from '../../shared/contracts/node/relay.ts';
import type { Json } from '../../shared/domain/records.ts';
import type { Agent } from '../agent/agent.ts';
import type { Caller, Logger, ShardHost } from '../ports.ts';

/** A request as any transport delivers it: a socket in production, a function call in the simulation. */
export interface NodeRequest {
  readonly method: string;
  /** Without query. */
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Parsed JSON; undefined without a body. */
  readonly body: unknown;
}

export interface NodeResponse {
  readonly status: number;
  readonly body: Json;
}

export interface DispatchDeps {
  readonly agent: Pick<Agent, 'push' | 'verifyBearer' | 'lease' | 'relay'>;
  readonly host: Pick<ShardHost, 'handlePeer' | 'handleData' | 'stats'>;
  readonly log: Logger;
  readonly nodeId: string;
  readonly version: string;
}

/** Largest body that a node reads: a replication message or a batch of 500 rows, with room for JSON's escapes. */
export const BODY_BYTES_MAX = 32 * 1024 * 1024;

const pushSchema = z.object({ commands: z.array(z.unknown()).min(1).max(COMMANDS_PER_MESSAGE_MAX) });
const VERB = /^\/(replication|data)\/([a-z][a-z0-9_-]{0,63})$/;

/** Answers one request to a node. Never throws. */
export async function handle(deps: DispatchDeps, request: NodeRequest): Promise<NodeResponse> {
  try {
    return await route(deps, request);
  } catch (error) {
    deps.log.error('request_failed', { method: request.method, path: request.path, error: String(error) });
    return { status: 500, body: { code: 'INTERNAL', message: 'the node failed', route: null, retry_after_ms: null } };
  }
}

async function route(deps: DispatchDeps, request: NodeRequest): Promise<NodeResponse> {
  const { method, path } = request;
  if (method === 'GET' && path === '/healthz') return { status: 200, body: { status: 'ok', node_id: deps.nodeId } };
  if (method === 'GET' && path === '/status') return { status: 200, body: statusOf(deps) };
  if (method === 'POST' && path === '/node/commands') return pushed(deps, request.body);
  if (method === 'POST' && path === '/relay/heartbeat') return relayed(deps, request);
  const verb = VERB.exec(path);
  if (verb === null) return { status: 404, body: errorBody('INVALID_REQUEST', `there is no ${method} ${path}`) };
  if (method !== 'POST') return { status: 405, body: errorBody('INVALID_REQUEST', `${path} takes POST`) };
  const caller = deps.agent.verifyBearer(request.headers['authorization']);
  if (!caller.ok) return refusal(caller.error.code, caller.error.message);
  return verb[1] === 'replication'
    ? peer(deps, verb[2] ?? '', request.body, caller.value)
    : client(deps, verb[2] ?? '', request.body, caller.value);
}

async function pushed(deps: DispatchDeps, body: unknown): Promise<NodeResponse> {
  const parsed = pushSchema.safeParse(body);
  if (!parsed.success) return refusal('INVALID_REQUEST', `commands: 1 to ${COMMANDS_PER_MESSAGE_MAX} signed commands`);
  const acks = await deps.agent.push(parsed.data.commands);
  return { status: 200, body: { acks } };
}

/** Another node's beat, for this one to relay (L3). The control plane checks the credential; here only strangers are kept away. */
async function relayed(deps: DispatchDeps, request: NodeRequest): Promise<NodeResponse> {
  const caller = deps.agent.verifyBearer(request.headers['authorization']);
  if (!caller.ok) return refusal(caller.error.code, caller.error.message);
  const beat = relayedBeatSchema.safeParse(request.body);
  if (!beat.success) return refusal('INVALID_REQUEST', 'a relayed beat: node_id, credential, lease_pack, beat');
  if (caller.value.kind !== 'node' || caller.value.nodeId !== beat.data.node_id)
    return refusal('FORBIDDEN', 'a node relays its own beats only');
  if (deps.agent.relay === null) return relayRefusal('NOT_A_RELAY', `${deps.nodeId} relays no heartbeats`);
  const taken = await deps.agent.relay.take(beat.data);
  return taken.ok ? { status: 200, body: { ...taken.value } } : relayRefusal(taken.error.code, taken.error.message);
}

/** The node that asked beats directly then. */
const relayRefusal = (code: string, message: string): NodeResponse => ({ status: 503, body: { code, message } });

async function peer(deps: DispatchDeps, verb: string, body: unknown, caller: Caller): Promise<NodeResponse> {
  if (caller.kind !== 'node') return refusal('FORBIDDEN', 'replication is for nodes: a node credential is needed');
  return deps.host.handlePeer(verb, body, caller);
}

async function client(deps: DispatchDeps, verb: string, body: unknown, caller: Caller): Promise<NodeResponse> {
  if (caller.kind !== 'client') return refusal('FORBIDDEN', 'rows are for clients: a data token is needed');
  return deps.host.handleData(verb, body, caller);
}

/** What an operator may see without a token: no keys, no rows, no tokens. */
function statusOf(deps: DispatchDeps): Json {
  const registration = deps.agent.lease.registration();
  return {
    node_id: deps.nodeId,
    version: deps.version,
    node_epoch: registration?.nodeEpoch ?? null,
    incarnation: registration?.incarnation ?? null,
    store_uuid: registration?.storeUuid ?? null,
    lease: deps.agent.lease.held() ? 'HELD' : registration === null ? 'NONE' : 'EXPIRED',
    ...(JSON.parse(JSON.stringify(deps.host.stats())) as Record<string, Json>), // without absent fields
  };
}

const refusal = (code: DataErrorCode, message: string): NodeResponse => ({
  status: DATA_ERROR_STATUS[code],
  body: errorBody(code, message),
});

/** Body of a refusal, in the shape of the client protocol. */
export const errorBody = (code: DataErrorCode, message: string): Json => ({
  code,
  message,
  route: null,
  retry_after_ms: null,
});
