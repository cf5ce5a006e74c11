import { rehearseForks } from '../../../data-node/replication/rehearsal.ts';

/** What it says is in its engine's own checks: a fork that is not as in production throws there. */
test('forks are rehearsed as they are made, again and again', () => {
  expect(rehearseForks).not.toThrow();
  expect(rehearseForks).not.toThrow();
});
