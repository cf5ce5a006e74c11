import { conflict, forbidden, unauthenticated } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { incarnation, nodeEpoch, nodeId, storeUuid } from '../domain/ids.ts';
import type { Incarnation, NodeEpoch, NodeId, StoreUuid } from '../domain/ids.ts';
import { DRIFT_BOUND_MS, LEASE_PROFILES } from '../domain/lease.ts';
import type { LivenessRecord } from '../domain/lease.ts';
import type { AuditEntry, NodeRecord } from '../domain/records.ts';
import { decideRegistration } from '../domain/registration.ts';
import type { RegistrationRefusal } from '../domain/registration.ts';
import { assertNever, err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { RegisterRequest, RegisterResponse } from '../contracts/node/heartbeat.ts';
import type { Deps, Principal, RecordWrite, Stored } from '../ports.ts';
import { principalName } from './principal.ts';
import type { UseCase } from './types.ts';

/** Registration of a node: a fence of its former incarnation (L4). */

/** Attempts against concurrent writers (renewals of an expired lease, mail) before the caller is told to retry. */
const ATTEMPTS_MAX = 8;
/** A node's credential; heartbeats renew it at half of its life, so a day outlives any outage that a node survives. */
export const NODE_CREDENTIAL_LIFETIME_MS = 24 * 3_600_000;

interface Wanted {
  readonly id: NodeId;
  readonly incarnation: Incarnation;
  readonly storeUuid: StoreUuid;
  readonly body: RegisterRequest;
}

export const registerNode: UseCase<'registerNode'> = async (deps, principal, { body }) => {
  const id = nodeId(body.node_id);
  if (principal.kind === 'nodeKey' && principal.nodeId !== id) {
    return err(forbidden('FORBIDDEN', `The key is that of ${principal.nodeId}: a node registers itself only.`));
  }
  const wanted: Wanted = {
    id,
    incarnation: incarnation(body.incarnation ?? `inc-${deps.random.hex(8)}`),
    storeUuid: storeUuid(body.store_uuid ?? `store-${deps.random.hex(8)}`),
    body,
  };
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const answer = await tryRegister(deps, principal, wanted);
    if (answer !== 'RACED') return answer;
  }
  return err(conflict('CONFLICT', 'The node record keeps changing. Register again.', { retryAfterSeconds: 1 }));
};

async function tryRegister(
  deps: Deps,
  principal: Principal,
  wanted: Wanted,
): Promise<Result<RegisterResponse, Fault> | 'RACED'> {
  const [node, liveness] = await Promise.all([
    deps.records.get('node', { nodeId: wanted.id }),
    deps.records.get('liveness', { nodeId: wanted.id }),
  ]);
  const decision = decideRegistration(node?.value ?? null, liveness?.value ?? null, {
    incarnation: wanted.incarnation,
    storeUuid: wanted.storeUuid,
    attestation:
      wanted.body.attestation === undefined
        ? null
        : { nodeEpoch: nodeEpoch(wanted.body.attestation.node_epoch), counter: wanted.body.attestation.counter },
  });
  if (!decision.ok) return err(refusal(wanted.id, decision.error));
  if (decision.value.kind === 'REPEATED') {
    // The answer holds a credential: a join token gets it only for the registration that it was spent on.
    if (principal.kind === 'joiner' && !(await spentOn(deps, principal.tokenId, wanted))) return err(JOIN_TOKEN_USED);
    return ok(await answer(deps, wanted, decision.value.nodeEpoch));
  }

  const nowMs = deps.clock.wallMs();
  const writes: RecordWrite[] = [
    livenessWrite(deps, wanted, liveness, decision.value, nowMs),
    nodeWrite(wanted, node, decision.value.nodeEpoch, nowMs),
  ];
  const by = principalName(principal);
  const audit: Omit<AuditEntry, 'atMs'>[] = [
    {
      entity: `lease:${wanted.id}`,
      number: decision.value.nodeEpoch,
      action: 'NODE_REGISTERED',
      principal: by,
      detail: { incarnation: wanted.incarnation, store_uuid: wanted.storeUuid },
    },
    {
      entity: `node:${wanted.id}`,
      number: (node?.revision ?? 0) + 1,
      action: 'NODE_ADDRESS_SET',
      principal: by,
      detail: { host: wanted.body.host, port: wanted.body.port, zone: wanted.body.zone },
    },
  ];
  if (principal.kind === 'joiner') {
    const token = await deps.records.get('joinToken', { tokenId: principal.tokenId });
    if (token === null || token.value.expiresAtMs <= nowMs) {
      return err(unauthenticated('TOKEN_EXPIRED', 'The join token is unknown or expired. Ask for a new one.'));
    }
    if (token.value.usedBy !== null) return err(JOIN_TOKEN_USED);
    writes.push({
      kind: 'update',
      entity: 'joinToken',
      id: { tokenId: principal.tokenId },
      set: { usedBy: { nodeId: wanted.id, incarnation: wanted.incarnation, atMs: nowMs } },
      when: [{ kind: 'revision', is: token.revision }],
    });
    audit.push({
      entity: `join-token:${principal.tokenId}`,
      number: token.revision + 1,
      action: 'JOIN_TOKEN_USED',
      principal: by,
      detail: { incarnation: wanted.incarnation, store_uuid: wanted.storeUuid },
    });
  }
  const committed = await deps.records.commit({
    writes,
    audit,
    events: [
      {
        eventType: 'NODE_REGISTERED',
        payload: { node_id: wanted.id, node_epoch: decision.value.nodeEpoch, zone: wanted.body.zone },
      },
    ],
  });
  return committed.ok ? ok(await answer(deps, wanted, decision.value.nodeEpoch)) : 'RACED';
}

const JOIN_TOKEN_USED = unauthenticated('JOIN_TOKEN_USED', 'A join token works once. Ask for a new one.');

async function spentOn(deps: Deps, tokenId: string, wanted: Wanted): Promise<boolean> {
  const usedBy = (await deps.records.get('joinToken', { tokenId }))?.value.usedBy ?? null;
  return usedBy !== null && usedBy.nodeId === wanted.id && usedBy.incarnation === wanted.incarnation;
}

/** Conditional on node epoch and observed sequence (PROTOCOL, transition "fence, register"). */
function livenessWrite(
  deps: Deps,
  wanted: Wanted,
  stored: Stored<'liveness'> | null,
  decided: { readonly nodeEpoch: NodeEpoch; readonly attestation: number },
  nowMs: number,
): RecordWrite {
  const fresh = {
    nodeEpoch: decided.nodeEpoch,
    incarnation: wanted.incarnation,
    sequence: 0,
    released: false,
    expired: null,
    profile: deps.settings.leaseProfile,
    storeUuid: wanted.storeUuid,
    attestation: decided.attestation,
    lastHeartbeatMs: nowMs,
  };
  if (stored === null) {
    const value: LivenessRecord = { ...fresh, nodeId: wanted.id, fencedAtMs: null, openFence: null, mail: 0 };
    return { kind: 'put', entity: 'liveness', value, when: [{ kind: 'absent' }] };
  }
  return {
    kind: 'update',
    entity: 'liveness',
    id: { nodeId: wanted.id },
    // The fence that this registration is stays open until the node's rows were swept (E3).
    set: { ...fresh, openFence: { cleanSweeps: 0 } },
    when: [
      { kind: 'equals', field: 'nodeEpoch', value: stored.value.nodeEpoch },
      { kind: 'equals', field: 'sequence', value: stored.value.sequence },
      { kind: 'equals', field: 'released', value: stored.value.released },
    ],
  };
}

function nodeWrite(wanted: Wanted, stored: Stored<'node'> | null, epoch: NodeEpoch, nowMs: number): RecordWrite {
  const { body } = wanted;
  const value: NodeRecord = {
    nodeId: wanted.id,
    host: body.host,
    port: body.port,
    zone: body.zone,
    membership: stored?.value.membership ?? 'ACTIVE',
    cordoned: stored?.value.cordoned ?? false,
    publicKey: body.public_key ?? stored?.value.publicKey ?? null,
    addressNodeEpoch: epoch,
    version: body.version ?? 'unknown',
    registeredAtMs: nowMs,
  };
  return {
    kind: 'put',
    entity: 'node',
    value,
    when: [stored === null ? { kind: 'absent' } : { kind: 'revision', is: stored.revision }],
  };
}

async function answer(deps: Deps, wanted: Wanted, epoch: NodeEpoch): Promise<RegisterResponse> {
  const profile = LEASE_PROFILES[deps.settings.leaseProfile];
  return {
    status: 'success',
    message: 'Node registered',
    node_id: wanted.id,
    node_epoch: epoch,
    incarnation: wanted.incarnation,
    store_uuid: wanted.storeUuid,
    credential: await deps.tokens.issue(
      { kind: 'node', nodeId: wanted.id, nodeEpoch: epoch, incarnation: wanted.incarnation },
      NODE_CREDENTIAL_LIFETIME_MS,
    ),
    settings: {
      lease_profile: profile.name,
      lease_ms: profile.leaseMs,
      renew_ms: profile.renewMs,
      drift_bound_ms: DRIFT_BOUND_MS,
      public_keys: (await deps.tokens.publicKeys()) as RegisterResponse['settings']['public_keys'],
    },
  };
}

function refusal(id: NodeId, reason: RegistrationRefusal): Fault {
  switch (reason.code) {
    case 'NODE_ALIVE':
      return conflict(
        'NODE_ALIVE',
        `An incarnation of ${id} may still hold its lease. Stop it, or wait until its lease is observed expired, then register again.`,
        { retryAfterSeconds: Math.ceil(reason.retryAfterMs / 1000) },
      );
    case 'NODE_DECOMMISSIONED':
      return conflict('NODE_DECOMMISSIONED', `${id} was decommissioned; its id is not used again. Choose another id.`);
    case 'STORE_ROLLED_BACK':
      return conflict(
        'STORE_ROLLED_BACK',
        `The data directory of ${id} is older than what it attested (${reason.presented} < ${reason.attested}). Set its replicas aside, take a new store_uuid and register again.`,
        { detail: { attested: reason.attested, presented: reason.presented } },
      );
    case 'STORE_REPLACED':
      return conflict(
        'STORE_MISMATCH',
        `${id} registered with another data directory (${reason.storeUuid}) after this one, whose replicas may miss what was written since. Start the node with that directory, or with an empty one.`,
        { detail: { store_uuid: reason.storeUuid } },
      );
    case 'STORE_MISMATCH':
      return conflict(
        'STORE_MISMATCH',
        `The data directory knows node epoch ${reason.presentedNodeEpoch}, this cluster only ${reason.nodeEpoch}: it belongs to another cluster.`,
        { detail: { node_epoch: reason.nodeEpoch } },
      );
    default:
      return assertNever(reason);
  }
}
