import jsonwebtoken from 'jsonwebtoken';
import { registerResponseSchema } from '../../shared/contracts/node/heartbeat.ts';
import type { RegisterRequest, RegisterResponse } from '../../shared/contracts/node/heartbeat.ts';
import type { Environment } from '../ports.ts';
import type { DataDirectory } from './data-directory.ts';
import { refusalOf } from './ports.ts';
import type { ControlPlaneAnswer, ControlPlaneTransport } from './ports.ts';

/**
 * Registration (L4): every process start, and every start over after a fence, is a new incarnation. A node proves itself by
 * its own key when its directory registered before, by a join token otherwise; the other way is tried when one is refused
 * (the answer to a first registration may have been lost, or the control plane may have forgotten the node).
 */
export interface NodeAddress {
  readonly nodeId: string;
  readonly host: string;
  readonly port: number;
  readonly zone: string;
  readonly version: string;
  /** What the node is good for; null: it says nothing, and stays as it said before. */
  readonly labels?: Readonly<Record<string, string>> | null;
  readonly capacityWeight?: number | null;
}

export interface RegistrationDeps {
  readonly environment: Environment;
  readonly controlPlane: ControlPlaneTransport;
  readonly directory: DataDirectory;
  readonly address: NodeAddress;
  readonly joinToken: string | null;
  /** The relay through which the node means to beat; null: directly. */
  readonly relay: string | null;
}

export type RegistrationOutcome =
  | { readonly kind: 'REGISTERED'; readonly response: RegisterResponse; readonly incarnation: string }
  /** The directory presents less than the control plane has seen of it: it must not serve. */
  | { readonly kind: 'ROLLED_BACK' }
  | { readonly kind: 'REFUSED'; readonly code: string; readonly message: string }
  | { readonly kind: 'STOPPED' };

const REQUEST_TIMEOUT_MS = 5_000;
/** Life of a self-signed token: one request and the skew of two wall clocks. */
const SELF_SIGNED_SECONDS = 60;
const RETRY_MS_MIN = 200;
const RETRY_MS_MAX = 5_000;
/** A `Retry-After` beyond this is cut: a lease of the longest profile expires in 30.5 s. */
const RETRY_AFTER_MS_MAX = 31_000;
const INCARNATION_BYTES = 12;

/** Refusals that no repetition changes. */
const FINAL_CODES: ReadonlySet<string> = new Set(['INVALID_REQUEST', 'NODE_DECOMMISSIONED', 'STORE_MISMATCH']);

type Verdict =
  | RegistrationOutcome
  /** The relay carries as many nodes as it may: register without it. */
  | { readonly kind: 'PACK_FULL' }
  | { readonly kind: 'AGAIN'; readonly afterMs: number };

/** Registers, waiting and repeating as long as the refusal is a passing one and `signal` is not aborted. */
export async function register(deps: RegistrationDeps, signal: AbortSignal): Promise<RegistrationOutcome> {
  const { random, timers, log } = deps.environment;
  // One incarnation for all attempts: an attempt whose answer was lost may have been applied.
  const incarnation = `inc-${random.hex(INCARNATION_BYTES)}`;
  let backoffMs = RETRY_MS_MIN;
  let { relay } = deps;
  while (!signal.aborted) {
    const verdict = await attempt({ ...deps, relay }, incarnation, backoffMs);
    if (verdict.kind === 'PACK_FULL') {
      log.warn('relay_full', { relay });
      relay = null; // for this registration: the node beats directly
      continue;
    }
    if (verdict.kind !== 'AGAIN') return verdict;
    backoffMs = Math.min(backoffMs * 2, RETRY_MS_MAX);
    log.info('registration_waits', { after_ms: Math.round(verdict.afterMs) });
    await timers.sleep(verdict.afterMs, signal);
  }
  return { kind: 'STOPPED' };
}

async function attempt(deps: RegistrationDeps, incarnation: string, backoffMs: number): Promise<Verdict> {
  const { random, log } = deps.environment;
  const jitteredMs = backoffMs * (0.5 + random.next() / 2);
  let refusal = { code: 'UNAUTHENTICATED', message: 'a join token is needed for a node that never registered' };
  for (const bearer of bearers(deps)) {
    const answer = await deps.controlPlane.call({
      method: 'POST',
      path: '/cluster/nodes/register',
      bearer,
      body: requestBody(deps, incarnation),
      timeoutMs: REQUEST_TIMEOUT_MS,
    });
    if (!answer.ok) {
      log.warn('registration_unanswered', { message: answer.error.message });
      return { kind: 'AGAIN', afterMs: jitteredMs };
    }
    if (answer.value.status === 200) return registered(answer.value, jitteredMs);
    refusal = refusalOf(answer.value);
    log.warn('registration_refused', { status: answer.value.status, ...refusal });
    if (answer.value.status === 401 || answer.value.status === 403 || answer.value.status === 404) continue;
    return verdictOf(answer.value, refusal, jitteredMs);
  }
  // Every credential was refused. A node that was registered before goes on asking: an operator may set things right.
  if (deps.directory.nodeEpoch() !== null) return { kind: 'AGAIN', afterMs: RETRY_MS_MAX };
  return { kind: 'REFUSED', ...refusal };
}

function registered(answer: ControlPlaneAnswer, afterMs: number): Verdict {
  const response = registerResponseSchema.safeParse(answer.body);
  return response.success
    ? { kind: 'REGISTERED', response: response.data, incarnation: response.data.incarnation }
    : { kind: 'AGAIN', afterMs };
}

function verdictOf(
  answer: ControlPlaneAnswer,
  refusal: { readonly code: string; readonly message: string },
  jitteredMs: number,
): Verdict {
  if (refusal.code === 'PACK_FULL') return { kind: 'PACK_FULL' };
  if (refusal.code === 'STORE_ROLLED_BACK') return { kind: 'ROLLED_BACK' };
  if (answer.status === 400 || FINAL_CODES.has(refusal.code)) return { kind: 'REFUSED', ...refusal };
  const askedMs = answer.retryAfterSeconds === null ? null : answer.retryAfterSeconds * 1000;
  return {
    kind: 'AGAIN',
    afterMs: askedMs === null ? jitteredMs : Math.min(Math.max(askedMs, RETRY_MS_MIN), RETRY_AFTER_MS_MAX),
  };
}

/** The ways to prove who the node is, the likelier first. */
function bearers(deps: RegistrationDeps): readonly string[] {
  const bySelf = selfSigned(deps);
  if (deps.directory.nodeEpoch() !== null) return deps.joinToken === null ? [bySelf] : [bySelf, deps.joinToken];
  return deps.joinToken === null ? [bySelf] : [deps.joinToken, bySelf];
}

/** A JWT by which a node proves that it holds the key it registered with; good for registering only. */
export function selfSigned(deps: Pick<RegistrationDeps, 'environment' | 'directory'>): string {
  const issuedAtSeconds = Math.floor(deps.environment.clock.wallMs() / 1000);
  return jsonwebtoken.sign(
    {
      kind: 'nodeKey',
      iss: 'node',
      sub: deps.directory.nodeId,
      aud: 'register',
      iat: issuedAtSeconds,
      exp: issuedAtSeconds + SELF_SIGNED_SECONDS,
    },
    deps.directory.privateKey,
    { algorithm: 'ES256' },
  );
}

function requestBody(deps: RegistrationDeps, incarnation: string): RegisterRequest {
  const { directory, address } = deps;
  const { labels = null, capacityWeight = null } = address;
  const nodeEpoch = directory.nodeEpoch();
  return {
    node_id: address.nodeId,
    host: address.host,
    port: address.port,
    zone: address.zone,
    incarnation,
    store_uuid: directory.storeUuid,
    public_key: { ...directory.publicJwk },
    ...(nodeEpoch === null ? {} : { attestation: { node_epoch: nodeEpoch, counter: directory.attestation() } }),
    version: address.version,
    ...(deps.relay === null ? {} : { relay: deps.relay }),
    ...(labels === null ? {} : { labels: { ...labels } }),
    ...(capacityWeight === null ? {} : { capacity_weight: capacityWeight }),
  };
}
