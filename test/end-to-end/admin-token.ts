import { KMSClient } from '@aws-sdk/client-kms';
import { createKmsRootSigner } from '../../shared/adapters/kms-root-signer.ts';
import { createTokenAuthority } from '../../shared/adapters/token-authority.ts';
import { systemClock } from '../../shared/runtime/system.ts';

const ADMIN_TOKEN_MS = 3_600_000;

/** The first token of a deployment, as its operator makes it (docs/deploy.md). `output`: an output of the `api` stack. */
export async function adminTokenOf(output: (name: string) => string): Promise<string> {
  const client = new KMSClient({});
  try {
    const root = createKmsRootSigner({ client, keyIds: [output('SigningKeyAlias')] });
    const authority = createTokenAuthority({ clock: systemClock, root });
    return await authority.issue({ kind: 'admin', name: 'end-to-end' }, ADMIN_TOKEN_MS);
  } finally {
    client.destroy();
  }
}
