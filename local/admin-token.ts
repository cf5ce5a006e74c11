import { parseArgs } from 'node:util';
import { KMSClient } from '@aws-sdk/client-kms';
import { createKmsRootSigner } from '../shared/adapters/kms-root-signer.ts';
import { createTokenAuthority } from '../shared/adapters/token-authority.ts';
import { SignerError } from '../shared/ports.ts';
import { systemClock } from '../shared/runtime/system.ts';

/**
 * An administrator's token for a deployment in the cloud, signed by its root key in KMS with the credentials of the caller: whoever may
 * `kms:Sign` with that key is an administrator. Prints the token.
 *
 *   npm run --silent admin-token -- [--key alias/shardkeeper-dev-signing] [--name ann] [--hours 12]
 */
const HOURS_MAX = 24 * 365;
const { values } = parseArgs({
  options: {
    key: { type: 'string', default: 'alias/shardkeeper-dev-signing' },
    name: { type: 'string', default: 'admin' },
    hours: { type: 'string', default: '12' },
  },
});

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

const hours = Number(values.hours);
if (!(hours > 0 && hours <= HOURS_MAX)) fail(`--hours must be a number above 0, at most ${HOURS_MAX}.`);
if (!/^[\x21-\x7e]{1,64}$/.test(values.name)) fail('--name must be 1 to 64 characters without spaces.');

const root = createKmsRootSigner({ client: new KMSClient(), keyIds: [values.key] });
try {
  const authority = createTokenAuthority({ clock: systemClock, root });
  process.stdout.write(`${await authority.issue({ kind: 'admin', name: values.name }, hours * 3_600_000)}\n`);
} catch (error) {
  if (!(error instanceof SignerError)) throw error;
  fail(
    `SIGNER_UNAVAILABLE: ${error.message}\nNeeded: credentials that may kms:GetPublicKey and kms:Sign with this key, in its region.`,
  );
}
