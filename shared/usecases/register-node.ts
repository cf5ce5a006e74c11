import { conflict, forbidden, unauthenticated } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { incarnation, nodeEpoch, nodeId, packId, storeUuid } from '../domain/ids.ts';
import type { Incarnation, NodeEpoch, NodeId, PackId, StoreUuid } from '../domain/ids.ts';
import { DRIFT_BOUND_MS, LEASE_PROFILES } from '../domain/lease.ts';
import type { LivenessRecord } from '../domain/lease.ts';
import type { PackedLease } from '../domain/liveness-pack.ts';
import type { AuditEntry, Json, NodeRecord } from '../domain/records.ts';
import { decideRegistration } from '../domain/registration.ts';
import type { RegistrationRefusal } from '../domain/registration.ts';
import { assertNever, err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { RegisterRequest, RegisterResponse } from '../contracts/node/heartbeat.ts';
import type { Deps, Principal, RecordWrite, Stored } from '../ports.ts';
import { joinPack } from './join-pack.ts';
import { leavePack, ownConditions } from './lease-writes.ts';
import { registeredPlacement } from './node-placement.ts';
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
    deps.liveness.of([wanted.id]).then((found) => found.get(wanted.id) ?? null),
  ]);
  const decision = decideRegistration(node?.value ?? null, liveness, {
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
    return ok(await answer(deps, wanted, decision.value.nodeEpoch, liveness?.pack?.packId ?? null));
  }

  const nowMs = deps.clock.wallMs();
  const leases = await leaseWrites(deps, wanted, liveness, decision.value, nowMs);
  if (!leases.ok) return leases;
  const writes: RecordWrite[] = [...leases.value.writes, nodeWrite(wanted, node, decision.value.nodeEpoch, nowMs)];
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
      detail: {
        host: wanted.body.host,
        port: wanted.body.port,
        zone: wanted.body.zone,
        ...placementDetail(node?.value ?? null, wanted),
      },
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
  return committed.ok ? ok(await answer(deps, wanted, decision.value.nodeEpoch, leases.value.packId)) : 'RACED';
}

const JOIN_TOKEN_USED = unauthenticated('JOIN_TOKEN_USED', 'A join token works once. Ask for a new one.');

async function spentOn(deps: Deps, tokenId: string, wanted: Wanted): Promise<boolean> {
  const usedBy = (await deps.records.get('joinToken', { tokenId }))?.value.usedBy ?? null;
  return usedBy !== null && usedBy.nodeId === wanted.id && usedBy.incarnation === wanted.incarnation;
}

/**
 * The lease begins in the node's own item, or in the relay's pack if the node names a relay; the former lease ends where it was.
 * Conditional on node epoch and observed sequence (PROTOCOL, transition "fence, register").
 */
async function leaseWrites(
  deps: Deps,
  wanted: Wanted,
  observed: LivenessRecord | null,
  decided: { readonly nodeEpoch: NodeEpoch; readonly attestation: number },
  nowMs: number,
): Promise<Result<{ readonly writes: readonly RecordWrite[]; readonly packId: PackId | null }, Fault>> {
  const lease: PackedLease = {
    nodeEpoch: decided.nodeEpoch,
    incarnation: wanted.incarnation,
    sequence: 0,
    released: false,
    expired: null,
    attestation: decided.attestation,
    lastHeartbeatMs: nowMs,
    // A command that is announced at the former place meanwhile is asked for (command-mailbox.ts).
    mail: observed === null ? 0 : observed.mail + 1,
  };
  const relay = wanted.body.relay;
  const joined = relay === undefined ? null : await joinPack(deps, packId(relay), wanted.id, lease, observed);
  if (joined !== null && !joined.ok) return joined;
  const place = joined?.value.place ?? null;
  const item: LivenessRecord = {
    nodeId: wanted.id,
    ...lease,
    // A packed lease has one holder of its facts, the pack: here it stands as held by nobody.
    incarnation: place === null ? wanted.incarnation : null,
    profile: deps.settings.leaseProfile,
    storeUuid: wanted.storeUuid,
    fencedAtMs: observed?.fencedAtMs ?? null,
    // The fence that this registration is stays open until the node's rows were swept (E3).
    openFence: observed === null ? null : { cleanSweeps: 0 },
    pack: place,
  };
  const own: RecordWrite =
    observed === null
      ? { kind: 'put', entity: 'liveness', value: item, when: [{ kind: 'absent' }] }
      : {
          kind: 'update',
          entity: 'liveness',
          id: { nodeId: wanted.id },
          set: item,
          when: [
            ...ownConditions(observed),
            ...(observed.pack === null
              ? ([{ kind: 'equals', field: 'released', value: observed.released }] as const)
              : []),
          ],
        };
  // A pack that is both left and joined is written once.
  const leaves = observed === null || observed.pack?.packId === place?.packId ? null : leavePack(observed);
  const writes = [own, ...(leaves === null ? [] : [leaves]), ...(joined === null ? [] : [joined.value.write])];
  return ok({ writes, packId: place?.packId ?? null });
}

/** Labels and weight, where the registration changes them. */
function placementDetail(before: NodeRecord | null, { body }: Wanted): { readonly [key: string]: Json } {
  const placement = registeredPlacement(before, body);
  if (placement === undefined || placement === before?.placement) return {};
  return { labels: placement.labels, capacity_weight: placement.capacityWeight };
}

function nodeWrite(wanted: Wanted, stored: Stored<'node'> | null, epoch: NodeEpoch, nowMs: number): RecordWrite {
  const { body } = wanted;
  const placement = registeredPlacement(stored?.value ?? null, body);
  const value: NodeRecord = {
    // Fields of a later release ride along (docs/upgrading.md).
    ...stored?.value,
    nodeId: wanted.id,
    host: body.host,
    port: body.port,
    zone: body.zone,
    membership: stored?.value.membership ?? 'ACTIVE',
    cordoned: stored?.value.cordoned ?? false,
    maintenance: stored?.value.maintenance ?? null,
    publicKey: body.public_key ?? stored?.value.publicKey ?? null,
    addressNodeEpoch: epoch,
    version: body.version ?? 'unknown',
    registeredAtMs: nowMs,
    ...(placement === undefined ? {} : { placement }),
  };
  return {
    kind: 'put',
    entity: 'node',
    value,
    when: [stored === null ? { kind: 'absent' } : { kind: 'revision', is: stored.revision }],
  };
}

async function answer(deps: Deps, wanted: Wanted, epoch: NodeEpoch, pack: PackId | null): Promise<RegisterResponse> {
  const profile = LEASE_PROFILES[deps.settings.leaseProfile];
  return {
    status: 'success',
    message: 'Node registered',
    node_id: wanted.id,
    node_epoch: epoch,
    incarnation: wanted.incarnation,
    store_uuid: wanted.storeUuid,
    lease_pack: pack,
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
