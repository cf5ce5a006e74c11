import { createPublicKey, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import canonicalize from 'canonicalize';
import jwt from 'jsonwebtoken';
import * as z from 'zod';
import { nodeEpoch, nodeId } from '../domain/ids.ts';
import type { Json } from '../domain/records.ts';
import { err, invariant, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Clock, Principal, TokenAuthority, TokenClaims } from '../ports.ts';
import { publicJwk } from './signing-key.ts';

/**
 * Tokens and command signatures of the control plane: ES256, synchronous.
 *
 * A token is a JWT: header `{alg: 'ES256', kid}`, payload `{iss: 'shardkeeper', kind, sub, iat, exp}` and by kind: `node`
 * {node_epoch, incarnation}, `joiner` {token_id}, `data` {tables, access}. `sub` is the name of the admin or of the data
 * client, the node id, or the id of the join token.
 */
export const TOKEN_ISSUER = 'shardkeeper';
const ALGORITHM = 'ES256';
/** Seconds by which clocks of functions may differ; without it a token can be "from the future" at its first use. */
const CLOCK_TOLERANCE_SECONDS = 5;

const stamps = { iss: z.literal(TOKEN_ISSUER), sub: z.string().min(1).max(256), iat: z.int(), exp: z.int() };
const payloadSchema = z.discriminatedUnion('kind', [
  z.object({ ...stamps, kind: z.literal('admin') }),
  z.object({ ...stamps, kind: z.literal('joiner'), token_id: z.string().min(1) }),
  z.object({ ...stamps, kind: z.literal('node'), node_epoch: z.int().min(0), incarnation: z.string().min(1) }),
  z.object({ ...stamps, kind: z.literal('data') }),
]);

export interface TokenAuthorityOptions {
  readonly clock: Clock;
  /** Signs; an EC key on P-256. */
  readonly privateKey: KeyObject;
  /** Keys that signed before and are still honoured. */
  readonly retiredKeys?: readonly KeyObject[];
}

type VerifyError = { code: 'TOKEN_INVALID' | 'TOKEN_EXPIRED'; message: string };

export function createTokenAuthority(options: TokenAuthorityOptions): TokenAuthority {
  const { clock, privateKey } = options;
  const own = publicJwk(privateKey);
  const jwks = [own, ...(options.retiredKeys ?? []).map(publicJwk)];
  const keys = new Map(jwks.map((jwk) => [jwk.kid, createPublicKey({ key: { ...jwk }, format: 'jwk' })]));

  return {
    issue: (claims, lifetimeMs) => {
      invariant(lifetimeMs >= 1000, 'a token lives at least 1 s');
      const iat = Math.floor(clock.wallMs() / 1000);
      const payload = { ...payloadOf(claims), iat, exp: iat + Math.floor(lifetimeMs / 1000) };
      const token = jwt.sign(payload, privateKey, { algorithm: ALGORITHM, keyid: own.kid, issuer: TOKEN_ISSUER });
      return Promise.resolve(token);
    },
    verify: (token) => Promise.resolve(verifyToken(token, keys, clock)),
    signCommand: (command) => {
      const text = canonicalize(command);
      invariant(text !== undefined, 'a command has a canonical form');
      const signature = sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' });
      return Promise.resolve(signature.toString('base64url'));
    },
    publicKeys: () => Promise.resolve({ keys: jwks.map((jwk) => ({ ...jwk })) } as unknown as Json),
  };
}

function payloadOf(claims: TokenClaims): Readonly<Record<string, unknown>> {
  switch (claims.kind) {
    case 'admin':
      return { kind: claims.kind, sub: claims.name };
    case 'joiner':
      return { kind: claims.kind, sub: claims.tokenId, token_id: claims.tokenId };
    case 'node':
      return {
        kind: claims.kind,
        sub: claims.nodeId,
        node_epoch: claims.nodeEpoch,
        incarnation: claims.incarnation,
      };
    case 'data':
      return { kind: claims.kind, sub: claims.name, tables: claims.tables, access: claims.access };
  }
}

const tokenInvalid = (message: string): { ok: false; error: VerifyError } => err({ code: 'TOKEN_INVALID', message });

function verifyToken(
  token: string,
  keys: ReadonlyMap<string, KeyObject>,
  clock: Clock,
): Result<Principal, VerifyError> {
  const key = keyOf(token, keys);
  if (key === undefined) return tokenInvalid('The token is not signed by this control plane.');
  let payload: unknown;
  try {
    payload = jwt.verify(token, key, {
      algorithms: [ALGORITHM],
      issuer: TOKEN_ISSUER,
      clockTimestamp: Math.floor(clock.wallMs() / 1000),
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
    });
  } catch (error) {
    if (error instanceof jwt.TokenExpiredError)
      return err({ code: 'TOKEN_EXPIRED', message: 'The token has expired.' });
    return tokenInvalid('The token is not valid.');
  }
  const parsed = payloadSchema.safeParse(payload);
  if (!parsed.success) return tokenInvalid('The token lacks a claim.');
  return principalOf(parsed.data);
}

/** The key that the token names. The name is not trusted: it only picks among our own keys. */
function keyOf(token: string, keys: ReadonlyMap<string, KeyObject>): KeyObject | undefined {
  try {
    const kid = jwt.decode(token, { complete: true })?.header.kid;
    return kid === undefined ? undefined : keys.get(kid);
  } catch {
    return undefined;
  }
}

function principalOf(payload: z.infer<typeof payloadSchema>): Result<Principal, VerifyError> {
  switch (payload.kind) {
    case 'admin':
      return ok({ kind: 'admin', name: payload.sub });
    case 'joiner':
      return ok({ kind: 'joiner', tokenId: payload.token_id });
    case 'node':
      return ok({
        kind: 'node',
        nodeId: nodeId(payload.sub),
        nodeEpoch: nodeEpoch(payload.node_epoch),
        incarnation: payload.incarnation,
        issuedAtMs: payload.iat * 1000,
        expiresAtMs: payload.exp * 1000,
      });
    case 'data':
      return tokenInvalid('A data token is for data nodes; this API needs an admin token or a node credential.');
  }
}
