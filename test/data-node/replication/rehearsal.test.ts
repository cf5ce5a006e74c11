import { rehearseForks } from '../../../data-node/replication/rehearsal.ts';
import { systemEnvironment } from '../../../data-node/system/environment.ts';

test("forks are rehearsed as they are made, a leader's and a follower's in turn, again and again", async () => {
  const env = systemEnvironment('node-1');
  await expect(rehearseForks(env)).resolves.toEqual({ forks: 60, continued: 30 });
  await expect(rehearseForks(env)).resolves.toEqual({ forks: 60, continued: 30 });
});
