import { rehearseForks } from '../../../data-node/replication/rehearsal.ts';
import { systemEnvironment } from '../../../data-node/system/environment.ts';

/** What it says is in its own checks, and the engine's: a fork that is not made as in production throws there. */
test('forks are rehearsed as they are made, again and again', async () => {
  const env = systemEnvironment('node-1');
  await expect(rehearseForks(env)).resolves.toBeUndefined();
  await expect(rehearseForks(env)).resolves.toBeUndefined();
});
