import { createPublicKey } from 'node:crypto';
import { GetPublicKeyCommand, SignCommand } from '@aws-sdk/client-kms';
import type { KMSClient } from '@aws-sdk/client-kms';
import { invariant } from '../domain/result.ts';
import { SignerError } from '../ports.ts';
import type { PublicJwk, RootSigner } from '../ports.ts';
import { derToJose } from './der-signature.ts';
import { publicJwk } from './signing-key.ts';

/**
 * The root key in KMS (ECC_NIST_P256, SIGN_VERIFY): its private half never leaves KMS. Public halves come from KMS too, once for
 * each process: nothing in between could put another key in their place.
 */
export interface KmsRootOptions {
  readonly client: Pick<KMSClient, 'send'>;
  /** ARNs, ids or aliases: the key that signs, then those that are honoured besides. At least one. */
  readonly keyIds: readonly string[];
}

/** Bytes that KMS signs as a message; longer ones must be hashed by the caller. */
const MESSAGE_BYTES_MAX = 4096;

export function createKmsRootSigner({ client, keyIds }: KmsRootOptions): RootSigner {
  const [signing] = keyIds;
  invariant(signing !== undefined, 'a KMS root has at least one key');
  let known: Promise<readonly PublicJwk[]> | undefined;

  const publicKeyOf = async (keyId: string): Promise<PublicJwk> => {
    const { PublicKey } = await attempt('kms:GetPublicKey', keyId, () =>
      client.send(new GetPublicKeyCommand({ KeyId: keyId })),
    );
    try {
      const key = createPublicKey({ key: Buffer.from(PublicKey ?? []), format: 'der', type: 'spki' });
      if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return publicJwk(key);
    } catch (error) {
      throw new SignerError(`the public half of KMS key ${keyId} can't be read`, { cause: error });
    }
    throw new SignerError(`KMS key ${keyId} is not of the spec ECC_NIST_P256`);
  };

  return {
    sign: async (data) => {
      invariant(data.length <= MESSAGE_BYTES_MAX, `KMS signs at most ${MESSAGE_BYTES_MAX} bytes`);
      const { Signature } = await attempt('kms:Sign', signing, () =>
        client.send(
          new SignCommand({
            KeyId: signing,
            Message: data,
            MessageType: 'RAW',
            SigningAlgorithm: 'ECDSA_SHA_256',
          }),
        ),
      );
      return derToJose(Signature ?? new Uint8Array());
    },
    publicKeys: () => {
      known ??= Promise.all(keyIds.map(publicKeyOf)).catch((error: unknown) => {
        known = undefined; // the next caller asks again
        throw error;
      });
      return known;
    },
  };
}

async function attempt<T>(action: string, keyId: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    const why = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    throw new SignerError(`${action} with ${keyId} failed: ${why}`, { cause: error });
  }
}
