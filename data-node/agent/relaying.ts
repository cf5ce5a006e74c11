import * as z from 'zod';
import { hostSchema, portSchema } from '../../shared/contracts/primitives.ts';
import type { HeartbeatsRequest } from '../../shared/contracts/node/relay.ts';
import { err } from '../../shared/domain/result.ts';
import type { Environment, PeerNetwork } from '../ports.ts';
import type { ControlPlaneTransport } from './ports.ts';
import { Relay } from './relay.ts';
import type { RelayOptions } from './relay.ts';
import { RelayRoute } from './relay-route.ts';
import type { Session } from './session.ts';

/** A node's part in relaying heartbeats (L3), as its start decides it. */
export interface Relaying {
  /** Collects the beats of others. */
  readonly forOthers: boolean;
  /** The node through which this one beats; null: directly. */
  readonly through: { readonly nodeId: string; readonly peers: PeerNetwork } | null;
}

export interface RelayingParts {
  readonly relaying: Relaying;
  readonly environment: Environment;
  readonly controlPlane: ControlPlaneTransport;
  /** This node. */
  readonly nodeId: string;
  /** The session in force; null while there is none. */
  readonly session: () => Session | null;
  /** A call as the session's node. */
  readonly call: (
    session: Session,
    path: string,
    request: HeartbeatsRequest,
    timeoutMs: number,
  ) => ReturnType<RelayOptions['send']>;
}

const FIND_TIMEOUT_MS = 2_000;
const NOT_REGISTERED = { code: 'NOT_REGISTERED', message: 'the relay is not registered itself' } as const;
const addressSchema = z.object({ host: hostSchema, port: portSchema });

/** The relay that this node is for others; null if it is none. */
export function createRelay({ relaying, environment, session, call }: RelayingParts): Relay | null {
  if (!relaying.forOthers) return null;
  return new Relay({
    environment,
    renewMs: () => session()?.renewMs ?? null,
    send: async (request, timeoutMs) => {
      const current = session();
      return current === null ? err(NOT_REGISTERED) : call(current, '/cluster/heartbeats', request, timeoutMs);
    },
  });
}

/** The way of this node's own beats through its relay; null if they go directly. */
export function createRoute({
  relaying,
  environment,
  controlPlane,
  nodeId,
  session,
}: RelayingParts): RelayRoute | null {
  const { through } = relaying;
  if (through === null) return null;
  const path = `/cluster/nodes/${encodeURIComponent(through.nodeId)}`;
  return new RelayRoute({
    environment,
    nodeId,
    relay: through.nodeId,
    peers: through.peers,
    // The relay's address as the control plane has it.
    find: async () => {
      const bearer = session()?.credential;
      if (bearer === undefined) return null;
      const answer = await controlPlane.call({ method: 'GET', path, bearer, body: null, timeoutMs: FIND_TIMEOUT_MS });
      if (!answer.ok || answer.value.status !== 200) return null;
      return addressSchema.safeParse(answer.value.body).data ?? null;
    },
  });
}
