import type { NodeEpoch, NodeId } from '../domain/ids.ts';
import type { Json } from '../domain/records.ts';
import type { Result } from '../domain/result.ts';

/** What a token says about its bearer. */
export type Principal =
  | { readonly kind: 'admin'; readonly name: string }
  /** Bearer of a single-use join token. */
  | { readonly kind: 'joiner'; readonly tokenId: string }
  /** A registered node, by a credential of the control plane: speaks for itself only. */
  | {
      readonly kind: 'node';
      readonly nodeId: NodeId;
      readonly nodeEpoch: NodeEpoch;
      readonly incarnation: string;
      readonly issuedAtMs: number;
      readonly expiresAtMs: number;
    }
  /** A node that proves by its own key that it registered before; may only register or release. */
  | { readonly kind: 'nodeKey'; readonly nodeId: NodeId }
  /** The control plane itself: detector, reconciler, operation steps. */
  | { readonly kind: 'system'; readonly name: string };

export type TokenClaims =
  | { readonly kind: 'admin'; readonly name: string }
  | { readonly kind: 'joiner'; readonly tokenId: string }
  | { readonly kind: 'node'; readonly nodeId: NodeId; readonly nodeEpoch: NodeEpoch; readonly incarnation: string }
  /** For data nodes: which tables the bearer may read and write (`*` = all). */
  | {
      readonly kind: 'data';
      readonly name: string;
      readonly tables: readonly string[];
      readonly access: 'read' | 'read-write';
    };

/** A public key as JWKS entry; `kid` is its thumbprint (RFC 7638). */
export interface PublicJwk {
  readonly kty: 'EC';
  readonly crv: 'P-256';
  readonly x: string;
  readonly y: string;
  readonly kid: string;
  readonly alg: 'ES256';
  readonly use: 'sig';
}

/**
 * The root of all signatures: a key in KMS, in a file, or in memory. It signs seldom: certificates of process keys, and tokens of
 * administrators and joining nodes. Throws `SignerError`.
 */
export interface RootSigner {
  /** ES256 over `data` (at most 4,096 bytes): r || s, 64 bytes. */
  sign(data: Uint8Array): Promise<Uint8Array>;
  /** The key that signs, then those that are honoured besides (the next one, retired ones). */
  publicKeys(): Promise<readonly PublicJwk[]>;
}

/** The root key can't be used now, or not at all; the message says which key and why. */
export class SignerError extends Error {
  override readonly name = 'SignerError';
  readonly code = 'SIGNER_UNAVAILABLE';
}

/** What makes a command acceptable to its node (contracts/node/commands.ts). */
export interface CommandSignature {
  /** ES256 over the command's canonical JSON (RFC 8785), base64url. */
  readonly signature: string;
  readonly certificate: string;
}

/** Signatures of the control plane (ES256). Throws `SignerError` when a process key has to be certified and can't be. */
export interface TokenAuthority {
  issue(claims: TokenClaims, lifetimeMs: number): Promise<string>;
  /** Checks a bearer token of any kind that may call the API. */
  verify(token: string): Promise<Result<Principal, { code: 'TOKEN_INVALID' | 'TOKEN_EXPIRED'; message: string }>>;
  /** Signs a node command. */
  signCommand(command: Json): Promise<CommandSignature>;
  /** A signed command that has waited: as it is while its certificate lasts, else signed anew. */
  refreshCommand(signed: Json): Promise<Json>;
  /** Root keys (JWKS) by which nodes check tokens and commands. */
  publicKeys(): Promise<Json>;
}
