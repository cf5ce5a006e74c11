import { text } from 'node:stream/consumers';
import { deriveSigningKey } from '../shared/adapters/signing-key.ts';
import { createTokenAuthority } from '../shared/adapters/token-authority.ts';
import { systemClock } from '../shared/runtime/system.ts';

/**
 * An administrator's token for a deployment in the cloud: reads the signing secret from standard input (it never stands on
 * a command line), prints the token. Whoever may read the secret is an administrator.
 */
const LIFETIME_MS = 12 * 3_600_000;

const secret = (await text(process.stdin)).trim();
if (secret === '') {
  process.stderr.write('Pipe the signing secret into this command; see README.md.\n');
  process.exit(1);
}
const authority = createTokenAuthority({ clock: systemClock, privateKey: deriveSigningKey(secret) });
process.stdout.write(`${await authority.issue({ kind: 'admin', name: 'admin' }, LIFETIME_MS)}\n`);
