import type { Logger, Timers } from '../shared/ports.ts';
import type { ControlPlane } from './control-plane.ts';
import type { DataDirectory } from './data-directory.ts';

/** Join tokens by way of the API, as an administrator gets them; and the file that always holds one for a node started by hand. */

/** Seconds for which the token in the file is good; it is renewed a day before. */
const FILE_TOKEN_SECONDS = 604_800;
const RENEW_BEFORE_MS = 86_400_000;
/** Seconds for which a token handed to a child process is good. */
const CHILD_TOKEN_SECONDS = 600;
/** The file is looked after at this rate. */
const CHECK_EVERY_MS = 5_000;

export interface JoinTokens {
  /** A fresh single-use token. */
  issue(): Promise<string>;
  stop(): Promise<void>;
}

interface IssuedToken {
  readonly token_id: string;
  readonly join_token: string;
}

/** Writes the file and keeps it usable until `stop`. */
export async function keepJoinTokens(
  controlPlane: ControlPlane,
  adminToken: string,
  directory: DataDirectory,
  timers: Timers,
  log: Logger,
): Promise<JoinTokens> {
  const issue = async (lifetimeSeconds: number): Promise<IssuedToken> => {
    const answer = await controlPlane.handle({
      method: 'POST',
      path: '/cluster/join-tokens',
      headers: [['Authorization', `Bearer ${adminToken}`]],
      body: JSON.stringify({ lifetime_seconds: lifetimeSeconds }),
    });
    if (answer.statusCode !== 200) throw new Error(`no join token: ${answer.body}`);
    return JSON.parse(answer.body) as IssuedToken;
  };
  const writeFile = async (): Promise<string> => {
    const issued = await issue(FILE_TOKEN_SECONDS);
    directory.writeSecret(directory.joinTokenFile, `${issued.join_token}\n`);
    return issued.token_id;
  };
  const isSpent = async (tokenId: string): Promise<boolean> => {
    const { records, clock } = controlPlane.deps;
    const stored = await records.get('joinToken', { tokenId });
    return (
      stored === null || stored.value.usedBy !== null || stored.value.expiresAtMs < clock.wallMs() + RENEW_BEFORE_MS
    );
  };

  let inFile = await writeFile();
  const stopping = new AbortController();
  const look = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await timers.sleep(CHECK_EVERY_MS, stopping.signal);
      if (stopping.signal.aborted) return;
      try {
        if (await isSpent(inFile)) inFile = await writeFile();
      } catch (error) {
        log.warn('join-token-not-renewed', { error });
      }
    }
  };
  const looking = look();
  return {
    issue: async () => (await issue(CHILD_TOKEN_SECONDS)).join_token,
    stop: () => {
      stopping.abort();
      return looking;
    },
  };
}
