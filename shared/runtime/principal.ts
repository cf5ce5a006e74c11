import * as z from 'zod';
import type { Call, Caller } from '../contracts/api/call.ts';
import { forbidden } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { nodeEpoch, nodeId } from '../domain/ids.ts';
import type { Principal } from '../ports.ts';
import type { ValidInput } from './validation.ts';

/** The caller between authorizer and function, and what its kind may do. */

const numberText = z
  .string()
  .regex(/^[0-9]{1,16}$/)
  .transform(Number);

/** An authorizer's context holds flat text only. One codec for both ends of that boundary. */
const contextSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('admin'), name: z.string().min(1) }),
  z.object({ kind: z.literal('joiner'), token_id: z.string().min(1) }),
  z.object({
    kind: z.literal('node'),
    node_id: z.string().min(1),
    node_epoch: numberText,
    incarnation: z.string().min(1),
    issued_at_ms: numberText,
    expires_at_ms: numberText,
  }),
  z.object({ kind: z.literal('nodeKey'), node_id: z.string().min(1) }),
]);

/** Who may come in through the front door; `system` never does. */
export type OutsidePrincipal = Exclude<Principal, { kind: 'system' }>;

export function toContext(principal: OutsidePrincipal): Record<string, string> {
  switch (principal.kind) {
    case 'admin':
      return { kind: principal.kind, name: principal.name };
    case 'joiner':
      return { kind: principal.kind, token_id: principal.tokenId };
    case 'nodeKey':
      return { kind: principal.kind, node_id: principal.nodeId };
    case 'node':
      return {
        kind: principal.kind,
        node_id: principal.nodeId,
        node_epoch: String(principal.nodeEpoch),
        incarnation: principal.incarnation,
        issued_at_ms: String(principal.issuedAtMs),
        expires_at_ms: String(principal.expiresAtMs),
      };
  }
}

/** The principal of an authorizer's context; null if the context is none of ours. */
export function fromContext(context: Readonly<Record<string, unknown>>): OutsidePrincipal | null {
  const parsed = contextSchema.safeParse(context);
  if (!parsed.success) return null;
  const { data } = parsed;
  switch (data.kind) {
    case 'admin':
      return data;
    case 'joiner':
      return { kind: data.kind, tokenId: data.token_id };
    case 'nodeKey':
      return { kind: data.kind, nodeId: nodeId(data.node_id) };
    case 'node':
      return {
        kind: data.kind,
        nodeId: nodeId(data.node_id),
        nodeEpoch: nodeEpoch(data.node_epoch),
        incarnation: data.incarnation,
        issuedAtMs: data.issued_at_ms,
        expiresAtMs: data.expires_at_ms,
      };
  }
}

const KIND_IN_WORDS: Readonly<Record<Caller, string>> = {
  public: 'nobody in particular',
  admin: 'an administrator (admin token)',
  node: 'a registered node (its credential)',
  joiner: 'the bearer of a join token',
  nodeKey: 'a node that proves itself by its own key',
};

/** Refuses a caller whose kind may not make the call; null if it may. */
export function forbiddenKind(call: Call, principal: OutsidePrincipal): Fault | null {
  if (call.callers.includes(principal.kind)) return null;
  const needed = call.callers.map((kind) => KIND_IN_WORDS[kind]).join(', or ');
  return forbidden(
    'FORBIDDEN',
    `This call needs ${needed}; the token presented is of ${KIND_IN_WORDS[principal.kind]}.`,
    {
      detail: { needed: [...call.callers] },
    },
  );
}

/** A node changes only its own facts (I-8): refuses a mutation that names another node; null if all is well. */
export function forbiddenNode(call: Call, principal: OutsidePrincipal, input: ValidInput): Fault | null {
  if ((principal.kind !== 'node' && principal.kind !== 'nodeKey') || call.method === 'GET') return null;
  const named = [input.params['node_id'], bodyNodeId(input.body)].filter((id) => id !== undefined);
  if (named.every((id) => id === principal.nodeId)) return null;
  return forbidden('FORBIDDEN', `The credential of node ${principal.nodeId} speaks for that node only.`);
}

function bodyNodeId(body: unknown): unknown {
  return typeof body === 'object' && body !== null && 'node_id' in body ? body.node_id : undefined;
}
