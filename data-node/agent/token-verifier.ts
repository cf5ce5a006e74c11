import type { KeyObject } from 'node:crypto';
import jsonwebtoken from 'jsonwebtoken';
import * as z from 'zod';
import { CERTIFICATE_HEADER } from '../../shared/contracts/certificates.ts';
import type { CertificatePurpose } from '../../shared/contracts/certificates.ts';
import { BoundedMap } from '../../shared/domain/bounded-map.ts';
import type { Clock } from '../../shared/domain/environment.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import type { Caller } from '../ports.ts';
import { Certificates } from './certificates.ts';
import type { KeyRing } from './keys.ts';

/**
 * Checks the bearer tokens that reach a node: credentials of peer nodes and data tokens of clients, both ES256 JWTs of the
 * control plane, by a key that its root certified for that kind of token, or by the root itself. Verified tokens are remembered until they expire: a verification costs about 80 us, a look-up nothing.
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
  /** By the whole header, which nearly always is one that came before. */
  private readonly verified = new BoundedMap<string, { readonly caller: Caller; readonly expiresAtMs: number }>(
    VERIFIED_TOKENS_MAX,
  );
  private readonly clock: Clock;
  private ring: KeyRing = { keys: [] };
  private readonly certificates = new Certificates();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Takes the keys of a registration; what was verified by others is forgotten. */
  useKeys(ring: KeyRing): void {
    this.ring = ring;
    this.certificates.useKeys(ring);
    this.verified.clear();
  }

  /** Verifies the value of an `Authorization` header. */
  verify(authorization: string | undefined): Result<Caller, TokenRefusal> {
    const header = authorization ?? '';
    const known = this.verified.get(header);
    const nowMs = this.clock.wallMs();
    if (known !== undefined) {
      if (known.expiresAtMs > nowMs) return ok(known.caller);
      this.verified.delete(header);
      return refuse('the token has expired');
    }
    return this.verifyAnew(header, nowMs);
  }

  private verifyAnew(header: string, nowMs: number): Result<Caller, TokenRefusal> {
    const token = /^Bearer ([A-Za-z0-9_.-]+)$/.exec(header)?.[1];
    if (token === undefined) return refuse('a bearer token of the control plane is needed');
    if (token.length > TOKEN_CHARS_MAX) return refuse('the token is too long');
    let message = 'the token is not signed by a key of this cluster';
    for (const { key, purpose, expiresAtMs } of this.signersOf(token, nowMs)) {
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
      if (purpose !== null && purpose !== claims.data.kind)
        return refuse('the key that signed the token is certified for another purpose');
      const caller = callerOf(claims.data);
      this.verified.set(header, { caller, expiresAtMs: Math.min(claims.data.exp * 1000, expiresAtMs) });
      return ok(caller);
    }
    return refuse(message);
  }

  /** Keys by which the token may be signed: the one that its certificate certifies, or without one those of the root. */
  private signersOf(token: string, nowMs: number): readonly Signer[] {
    const header = headerOf(token);
    const certificate = header[CERTIFICATE_HEADER];
    if (certificate === undefined) {
      // A certificate is no token, though the root signed it.
      if (header['typ'] !== 'JWT') return [];
      return this.ring.keys.map(({ key }) => ({ key, purpose: null, expiresAtMs: Infinity }));
    }
    const certified = typeof certificate === 'string' ? this.certificates.verify(certificate, nowMs) : null;
    return certified === null ? [] : [certified];
  }
}

interface Signer {
  readonly key: KeyObject;
  /** null: a root key, which may sign tokens of every kind. */
  readonly purpose: CertificatePurpose | null;
  readonly expiresAtMs: number;
}

function headerOf(token: string): Readonly<Record<string, unknown>> {
  try {
    return { ...jsonwebtoken.decode(token, { complete: true })?.header };
  } catch {
    return {};
  }
}

const refuse = (message: string): Result<never, TokenRefusal> => err({ code: 'UNAUTHENTICATED', message });

const callerOf = (claims: z.infer<typeof claimsSchema>): Caller =>
  claims.kind === 'node'
    ? { kind: 'node', nodeId: claims.sub, nodeEpoch: claims.node_epoch }
    : { kind: 'client', name: claims.sub, tables: claims.tables, access: claims.access };
