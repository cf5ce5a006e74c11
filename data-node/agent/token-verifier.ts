import jsonwebtoken from 'jsonwebtoken';
import * as z from 'zod';
import type { Clock } from '../../shared/domain/environment.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import type { Caller } from '../ports.ts';
import type { KeyRing } from './keys.ts';

/**
 * Checks the bearer tokens that reach a node: credentials of peer nodes and data tokens of clients, both ES256 JWTs of the
 * control plane. Verified tokens are remembered until they expire: a verification costs about 80 us, a look-up nothing.
 */
const ISSUER = 'shardkeeper';
/** Tokens remembered at a time: a cluster's nodes and a node's busiest clients. The oldest is forgotten beyond it. */
const VERIFIED_TOKENS_MAX = 4096;
/** A longer token is refused unread: data tokens of 100 table names of 64 characters stay below. */
const TOKEN_CHARS_MAX = 16_384;

const nodeClaimsSchema = z.object({
  kind: z.literal('node'),
  sub: z.string().min(1),
  node_epoch: z.int().min(0),
  exp: z.int(),
});
const dataClaimsSchema = z.object({
  kind: z.literal('data'),
  sub: z.string().min(1),
  tables: z.array(z.string()).min(1),
  access: z.enum(['read', 'read-write']),
  exp: z.int(),
});
const claimsSchema = z.discriminatedUnion('kind', [nodeClaimsSchema, dataClaimsSchema]);

export interface TokenRefusal {
  readonly code: 'UNAUTHENTICATED' | 'FORBIDDEN';
  readonly message: string;
}

export class TokenVerifier {
  private readonly verified = new Map<string, { readonly caller: Caller; readonly expiresAtMs: number }>();
  private readonly clock: Clock;
  private ring: KeyRing = { keys: [] };

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Takes the keys of a registration; what was verified by others is forgotten. */
  useKeys(ring: KeyRing): void {
    this.ring = ring;
    this.verified.clear();
  }

  /** Verifies the value of an `Authorization` header. */
  verify(authorization: string | undefined): Result<Caller, TokenRefusal> {
    const match = /^Bearer ([A-Za-z0-9_.-]+)$/.exec(authorization ?? '');
    const token = match?.[1];
    if (token === undefined) return refuse('a bearer token of the control plane is needed');
    if (token.length > TOKEN_CHARS_MAX) return refuse('the token is too long');
    const known = this.verified.get(token);
    const nowMs = this.clock.wallMs();
    if (known !== undefined) {
      if (known.expiresAtMs > nowMs) return ok(known.caller);
      this.verified.delete(token);
      return refuse('the token has expired');
    }
    return this.verifyAnew(token, nowMs);
  }

  private verifyAnew(token: string, nowMs: number): Result<Caller, TokenRefusal> {
    let message = 'the token is not signed by a key of this cluster';
    for (const { key } of this.ring.keys) {
      let payload: unknown;
      try {
        payload = jsonwebtoken.verify(token, key, {
          algorithms: ['ES256'],
          issuer: ISSUER,
          clockTimestamp: Math.floor(nowMs / 1000),
        });
      } catch (error) {
        if (error instanceof jsonwebtoken.TokenExpiredError) message = 'the token has expired';
        continue;
      }
      const claims = claimsSchema.safeParse(payload);
      if (!claims.success) {
        return err({
          code: 'FORBIDDEN',
          message: 'the token is of a kind that data nodes do not serve, or has no expiry',
        });
      }
      const caller = callerOf(claims.data);
      this.remember(token, caller, claims.data.exp * 1000);
      return ok(caller);
    }
    return refuse(message);
  }

  private remember(token: string, caller: Caller, expiresAtMs: number): void {
    if (this.verified.size >= VERIFIED_TOKENS_MAX) {
      const oldest = this.verified.keys().next();
      if (oldest.done !== true) this.verified.delete(oldest.value);
    }
    this.verified.set(token, { caller, expiresAtMs });
  }
}

const refuse = (message: string): Result<never, TokenRefusal> => err({ code: 'UNAUTHENTICATED', message });

const callerOf = (claims: z.infer<typeof claimsSchema>): Caller =>
  claims.kind === 'node'
    ? { kind: 'node', nodeId: claims.sub, nodeEpoch: claims.node_epoch }
    : { kind: 'client', name: claims.sub, tables: claims.tables, access: claims.access };
