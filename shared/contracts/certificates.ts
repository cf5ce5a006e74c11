import * as z from 'zod';

/**
 * Certificates of the control plane's process keys. The root key signs few things itself; every process of the control plane
 * that signs often makes a key of its own, and the root certifies it, for one purpose and a short time.
 *
 * A certificate is a compact JWS: protected header `{alg: 'ES256', typ: CERTIFICATE_TYPE, kid: <thumbprint of the root key>}`, payload
 * `certificateSchema`. It travels beside what the certified key signed: in the protected header `cert` of a token, in the field
 * `certificate` of a command. Who verifies holds the root's public keys alone (JWKS), and checks root -> certificate -> signature.
 */
export const CERTIFICATE_TYPE = 'shardkeeper-certificate+jwt';
export const CERTIFICATE_ISSUER = 'shardkeeper';
/** Protected header of a token that is signed by a certified key. Tokens without it are signed by a root key. */
export const CERTIFICATE_HEADER = 'cert';
/** Characters of a certificate; one has about 550. */
export const CERTIFICATE_CHARS_MAX = 2048;

/** What a certified key may sign: tokens of one kind, or commands to nodes. */
export const certificatePurposeSchema = z.enum(['node', 'data', 'command']);
export type CertificatePurpose = z.infer<typeof certificatePurposeSchema>;

/** 32 bytes, base64url. */
const coordinateSchema = z.string().regex(/^[A-Za-z0-9_-]{43}$/);

export const certificateSchema = z.object({
  iss: z.literal(CERTIFICATE_ISSUER),
  purpose: certificatePurposeSchema,
  /** The certified public key. */
  key: z.object({ kty: z.literal('EC'), crv: z.literal('P-256'), x: coordinateSchema, y: coordinateSchema }),
  /** Seconds since 1970. Nothing that the key signed is good after `exp`. */
  iat: z.int(),
  exp: z.int(),
});
export type Certificate = z.infer<typeof certificateSchema>;
