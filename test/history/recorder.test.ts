import { ClientError } from '../../client/index.ts';
import { HistoryRecorder } from './recorder.ts';

const failing = (error: Error) => (): Promise<never> => Promise.reject(error);

/** A recorder whose clock goes on by 1 ms at every look. */
function recorder(): HistoryRecorder {
  let nowMs = 0;
  return new HistoryRecorder(() => ++nowMs);
}

test('an acknowledged write and what was read of it', async () => {
  const recorded = recorder();
  await recorded.write('c1', 'k', 'a', async () => undefined);
  await recorded.read('c2', 'k', async () => 'a');
  expect(recorded.histories.get('k')).toEqual([
    { kind: 'write', value: 'a', startMs: 1, endMs: 2, client: 'c1' },
    { kind: 'read', value: 'a', startMs: 3, endMs: 4, client: 'c2' },
  ]);
  expect(recorded.problems()).toEqual([]);
});

test('a write of unknown outcome stays open; one that was surely not applied must not be seen', async () => {
  const recorded = recorder();
  const unknown = new ClientError('DEADLINE', 'late', { outcome: 'UNKNOWN' });
  await expect(recorded.write('c1', 'k', 'a', failing(unknown))).rejects.toBe(unknown);
  await recorded.read('c2', 'k', async () => 'a');
  expect(recorded.problems()).toEqual([]);
  const refused = new ClientError('DEADLINE', 'refused', { outcome: 'NOT_APPLIED' });
  await expect(recorded.write('c1', 'k', 'b', failing(refused))).rejects.toBe(refused);
  await recorded.read('c2', 'k', async () => 'b');
  expect(recorded.problems()).toEqual(['k: c2 read b between 5 ms and 6 ms, which nobody wrote']);
});

test('a read without an answer is left out', async () => {
  const recorded = recorder();
  const late = new ClientError('DEADLINE', 'late');
  await expect(recorded.read('c1', 'k', failing(late))).rejects.toBe(late);
  expect(recorded.histories.size).toBe(0);
});
