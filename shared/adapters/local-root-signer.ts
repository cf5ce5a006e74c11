import type { KeyObject } from 'node:crypto';
import type { RootSigner } from '../ports.ts';
import { publicJwk, signEs256 } from './signing-key.ts';

/** A root key that the process itself holds: in the one-machine runner from a file, in tests and simulation from memory. */
export interface LocalRootOptions {
  /** Signs; an EC key on P-256. */
  readonly privateKey: KeyObject;
  /** Keys, public halves will do, that are honoured besides. */
  readonly honoured?: readonly KeyObject[];
}

export function createLocalRootSigner({ privateKey, honoured = [] }: LocalRootOptions): RootSigner {
  const keys = [privateKey, ...honoured].map(publicJwk);
  return {
    sign: (data) => Promise.resolve(signEs256(privateKey, data)),
    publicKeys: () => Promise.resolve(keys),
  };
}
