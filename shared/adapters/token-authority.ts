import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import canonicalize from 'canonicalize';
import jwt from 'jsonwebtoken';
import * as z from 'zod';
import { CERTIFICATE_HEADER } from '../contracts/certificates.ts';
import type { CertificatePurpose } from '../contracts/certificates.ts';
import { nodeEpoch, nodeId } from '../domain/ids.ts';
import type { Json } from '../domain/records.ts';
import { err, invariant, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import type { Clock, Principal, RootSigner, TokenAuthority, TokenClaims } from '../ports.ts';
import { createCertificateVerifier } from './certificate-verifier.ts';
import type { CertificateVerifier } from './certificate-verifier.ts';
import { createProcessKeys, SIGNED_LIFETIME_MAX_MS } from './process-keys.ts';
import { jwsOf, jwsSigningInput } from './signing-key.ts';
import { VerifiedTokens } from './verified-tokens.ts';

/**
 * Tokens and command signatures of the control plane: ES256. Tokens of administrators and of joining nodes are signed by the root
 * key itself; node credentials, data tokens and commands by a key of this process that the root certified (process-keys.ts).
 *
 * A token is a JWT: header `{alg: 'ES256', typ: 'JWT', kid, cert?}`, payload `{iss: 'shardkeeper', kind, sub, iat, exp}` and by kind: `node`
 * {node_epoch, incarnation}, `joiner` {token_id}, `data` {tables, access}. `sub` is the name of the admin or of the data
 * client, the node id, or the id of the join token.
 */
export const TOKEN_ISSUER = 'shardkeeper';
const ALGORITHM = 'ES256';
/** Seconds by which clocks of functions may differ; without it a token can be "from the future" at its first use. */
const CLOCK_TOLERANCE_SECONDS = 5;

const headerSchema = z.object({ typ: z.string(), kid: z.string(), [CERTIFICATE_HEADER]: z.string().optional() });
const stamps = { iss: z.literal(TOKEN_ISSUER), sub: z.string().min(1).max(256), iat: z.int(), exp: z.int() };
const payloadSchema = z.discriminatedUnion('kind', [
  z.object({ ...stamps, kind: z.literal('admin') }),
  z.object({ ...stamps, kind: z.literal('joiner'), token_id: z.string().min(1) }),
  z.object({ ...stamps, kind: z.literal('node'), node_epoch: z.int().min(0), incarnation: z.string().min(1) }),
  z.object({ ...stamps, kind: z.literal('data') }),
]);

export interface TokenAuthorityOptions {
  readonly clock: Clock;
  readonly root: RootSigner;
}

/** A waiting command is signed anew when its certificate lasts for less than this (ms): the way to its node, and the node's clock. */
const REFRESHED_BEFORE_MS = 600_000;

type VerifyError = { code: 'TOKEN_INVALID' | 'TOKEN_EXPIRED'; message: string };

export function createTokenAuthority({ clock, root }: TokenAuthorityOptions): TokenAuthority {
  const processKeys = createProcessKeys({ root, clock });
  const certificates = createCertificateVerifier({ clock });
  const verified = new VerifiedTokens<Payload>();
  let rootKeys: Promise<ReadonlyMap<string, KeyObject>> | undefined;
  const keysOfRoot = (): Promise<ReadonlyMap<string, KeyObject>> => {
    rootKeys ??= root
      .publicKeys()
      .then((jwks) => new Map(jwks.map((jwk) => [jwk.kid, createPublicKey({ key: { ...jwk }, format: 'jwk' })])))
      .catch((error: unknown) => {
        rootKeys = undefined; // the next caller asks again
        throw error;
      });
    return rootKeys;
  };

  const signCommand: TokenAuthority['signCommand'] = async (command) => {
    const text = canonicalize(command);
    invariant(text !== undefined, 'a command has a canonical form');
    const key = await processKeys.certified('command');
    const signature = Buffer.from(key.sign(Buffer.from(text))).toString('base64url');
    return { signature, certificate: key.certificate };
  };

  return {
    issue: async (claims, lifetimeMs) => {
      invariant(lifetimeMs >= 1000, 'a token lives at least 1 s');
      const purpose = purposeOf(claims);
      const iat = Math.floor(clock.wallMs() / 1000);
      const exp = iat + Math.floor(lifetimeMs / 1000);
      const payload = { ...payloadOf(claims), iss: TOKEN_ISSUER, iat, exp };
      if (purpose === null) {
        const [own] = await root.publicKeys();
        invariant(own !== undefined, 'a root has a key that signs');
        const input = jwsSigningInput({ alg: ALGORITHM, typ: 'JWT', kid: own.kid }, payload);
        return jwsOf(input, await root.sign(Buffer.from(input)));
      }
      invariant(lifetimeMs <= SIGNED_LIFETIME_MAX_MS[purpose], 'a token does not outlive the certificate of its key');
      const key = await processKeys.certified(purpose);
      const header = { alg: ALGORITHM, typ: 'JWT', kid: key.kid, [CERTIFICATE_HEADER]: key.certificate };
      const input = jwsSigningInput(header, payload);
      return jwsOf(input, key.sign(Buffer.from(input)));
    },
    verify: async (token) => {
      const known = verified.find(token, Math.floor(clock.wallMs() / 1000));
      if (known !== null) return principalOf(known);
      const claims = verifyToken(token, await keysOfRoot(), certificates, clock);
      if (!claims.ok) return claims;
      const { payload, signedUntilS } = claims.value;
      verified.remember(token, payload, Math.min(payload.exp + CLOCK_TOLERANCE_SECONDS, signedUntilS));
      return principalOf(payload);
    },
    signCommand,
    refreshCommand: async (signed) => {
      const { signature: _signature, certificate, ...command } = signed as Record<string, Json>;
      if (certificateEndMs(certificate) >= clock.wallMs() + REFRESHED_BEFORE_MS) return signed;
      return { ...command, ...(await signCommand(command)) };
    },
    publicKeys: async () => ({ keys: (await root.publicKeys()).map((jwk) => ({ ...jwk })) }),
  };
}

/** What certifies the key that signs these claims; null: the root signs itself, as such tokens are few and open much. */
function purposeOf(claims: TokenClaims): Exclude<CertificatePurpose, 'command'> | null {
  switch (claims.kind) {
    case 'admin':
    case 'joiner':
      return null;
    case 'node':
    case 'data':
      return claims.kind;
  }
}

/** When a certificate of ours says that it ends (ms since 1970); 0 if it says nothing. */
function certificateEndMs(certificate: Json | undefined): number {
  if (typeof certificate !== 'string') return 0;
  return (jwt.decode(certificate, { json: true })?.exp ?? 0) * 1000;
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
  roots: ReadonlyMap<string, KeyObject>,
  certificates: CertificateVerifier,
  clock: Clock,
): Result<VerifiedClaims, VerifyError> {
  const signer = signerOf(token, roots, certificates);
  if (signer === undefined) return tokenInvalid('The token is not signed by this control plane.');
  let payload: unknown;
  try {
    payload = jwt.verify(token, signer.key, {
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
  if (signer.purpose !== null && signer.purpose !== parsed.data.kind)
    return tokenInvalid('The key that signed the token is certified for another purpose.');
  return ok({ payload: parsed.data, signedUntilS: signer.expiresAtS });
}

type Payload = z.infer<typeof payloadSchema>;

interface VerifiedClaims {
  readonly payload: Payload;
  /** When the certificate of the key that signed ends (s since 1970); Infinity for a root key. */
  readonly signedUntilS: number;
}

/**
 * The key that the token names, and its purpose (null: a root key). The name is not trusted: it only picks among the root's keys, and a
 * certificate counts only with the root's signature.
 */
function signerOf(
  token: string,
  roots: ReadonlyMap<string, KeyObject>,
  certificates: CertificateVerifier,
): { readonly key: KeyObject; readonly purpose: CertificatePurpose | null; readonly expiresAtS: number } | undefined {
  const header = headerOf(token);
  if (header === null) return undefined;
  const certificate = header[CERTIFICATE_HEADER];
  if (certificate !== undefined) return certificates.verify(certificate, roots);
  const key = roots.get(header.kid);
  // A certificate is no token, though the root signed it.
  return key === undefined || header.typ !== 'JWT' ? undefined : { key, purpose: null, expiresAtS: Infinity };
}

/** The token's protected header, unchecked; null if it has none of ours. */
function headerOf(token: string): z.infer<typeof headerSchema> | null {
  try {
    return headerSchema.parse(jwt.decode(token, { complete: true })?.header);
  } catch {
    return null;
  }
}

function principalOf(payload: Payload): Result<Principal, VerifyError> {
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
