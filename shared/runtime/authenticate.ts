import { createPublicKey } from 'node:crypto';
import jwt from 'jsonwebtoken';
import * as z from 'zod';
import { unauthenticated } from '../domain/faults.ts';
import type { Fault } from '../domain/faults.ts';
import { isUsableId, nodeId } from '../domain/ids.ts';
import type { NodeRecord } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Deps } from '../ports.ts';
import type { OutsidePrincipal } from './principal.ts';

/** Who presents a bearer token: the control plane's own tokens, or a node that signs with the key that it registered. */

/** Characters of a token; an ES256 token of ours has a few hundred. */
const TOKEN_CHARS_MAX = 8192;
/** A node's self-signed token lives at most this long (s). */
export const NODE_KEY_TOKEN_SECONDS_MAX = 300;
/** Seconds by which a node's clock may be off. */
const NODE_CLOCK_SKEW_SECONDS = 60;
const NODE_ISSUER = 'node';
const NODE_AUDIENCE = 'register';

const nodeClaimsSchema = z.object({
  iss: z.literal(NODE_ISSUER),
  aud: z.literal(NODE_AUDIENCE),
  sub: z.string().refine(isUsableId),
  iat: z.int(),
  exp: z.int(),
});

/** The token of an `Authorization: Bearer` header. */
export function bearerToken(header: string | undefined): Result<string, Fault> {
  if (header === undefined || header.trim() === '') {
    return err(unauthenticated('UNAUTHENTICATED', 'Send a token: `Authorization: Bearer <token>`.'));
  }
  const match = /^Bearer ([\x21-\x7e]+)$/i.exec(header.trim());
  if (match?.[1] === undefined || match[1].length > TOKEN_CHARS_MAX) {
    return err(unauthenticated('UNAUTHENTICATED', 'The Authorization header is not `Bearer <token>`.'));
  }
  return ok(match[1]);
}

/** The principal behind an Authorization header. Nothing that a caller can send throws; a store failure does. */
export async function authenticate(deps: Deps, header: string | undefined): Promise<Result<OutsidePrincipal, Fault>> {
  const token = bearerToken(header);
  if (!token.ok) return token;
  const verified = await deps.tokens.verify(token.value);
  if (!verified.ok) {
    // Asked second: nearly every token is one of ours, and known since the last beat. A node's own never passes for one: its issuer is another.
    const claims = claimedBy(token.value);
    if (claims?.['iss'] === NODE_ISSUER) return authenticateByNodeKey(deps, token.value, claims);
    const expired = verified.error.code === 'TOKEN_EXPIRED';
    return err(unauthenticated(expired ? 'TOKEN_EXPIRED' : 'UNAUTHENTICATED', verified.error.message));
  }
  if (verified.value.kind === 'system')
    return err(unauthenticated('UNAUTHENTICATED', 'No token stands for the system.'));
  return ok(verified.value);
}

/** What the token claims, unchecked: only chooses the key by which the claim is then checked. Null: it claims nothing. */
function claimedBy(token: string): Readonly<Record<string, unknown>> | null {
  try {
    return jwt.decode(token, { json: true });
  } catch {
    return null;
  }
}

const badNodeToken = (message: string): { ok: false; error: Fault } => err(unauthenticated('UNAUTHENTICATED', message));

async function authenticateByNodeKey(
  deps: Deps,
  token: string,
  claims: Readonly<Record<string, unknown>>,
): Promise<Result<OutsidePrincipal, Fault>> {
  const claimed = nodeClaimsSchema.safeParse(claims);
  if (!claimed.success) return badNodeToken('The node token lacks a claim: iss, aud, sub, iat and exp are needed.');
  const { sub, iat, exp } = claimed.data;
  if (exp - iat > NODE_KEY_TOKEN_SECONDS_MAX) {
    return badNodeToken(`A node token lives at most ${NODE_KEY_TOKEN_SECONDS_MAX} s.`);
  }
  const nowSeconds = Math.floor(deps.clock.wallMs() / 1000);
  // What is wrong with the claims alone is told before the node is looked up, so that the answer does not tell whether it exists.
  if (iat > nowSeconds + NODE_CLOCK_SKEW_SECONDS) return badNodeToken('The node token was issued in the future.');
  const record = await deps.records.get('node', { nodeId: nodeId(sub) });
  // Unknown node, node without a key and wrong signature look the same to the caller: nothing is told about who exists.
  const refused = badNodeToken('The node token is not signed by the key with which this node registered.');
  const key = record === null ? null : publicKeyOf(record.value);
  if (key === null) return refused;
  try {
    jwt.verify(token, key, {
      algorithms: ['ES256'],
      issuer: NODE_ISSUER,
      audience: NODE_AUDIENCE,
      clockTimestamp: nowSeconds,
      clockTolerance: NODE_CLOCK_SKEW_SECONDS,
    });
  } catch (error) {
    if (error instanceof jwt.TokenExpiredError) {
      return err(unauthenticated('TOKEN_EXPIRED', 'The node token has expired; sign a new one.'));
    }
    return refused;
  }
  return ok({ kind: 'nodeKey', nodeId: nodeId(sub) });
}

function publicKeyOf(node: NodeRecord): ReturnType<typeof createPublicKey> | null {
  if (node.membership === 'DECOMMISSIONED') return null;
  try {
    return createPublicKey({ key: { ...node.publicKey }, format: 'jwk' });
  } catch {
    return null; // A node that registered without a key, or with one that is none.
  }
}
