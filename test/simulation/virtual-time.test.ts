import { seededRandom } from './random.ts';
import { Trace } from './trace.ts';
import { VirtualTime } from './virtual-time.ts';

describe('virtual time', () => {
  test('events run in order of time, then of scheduling, and microtasks between them', async () => {
    const time = new VirtualTime();
    const seen: string[] = [];
    time.after(20, () => seen.push('late'));
    time.after(10, () => {
      seen.push('first');
      void Promise.resolve()
        .then(() => undefined)
        .then(() => seen.push('microtask of first'));
    });
    time.after(10, () => seen.push('second'));
    await time.run(15);
    expect(seen).toEqual(['first', 'microtask of first', 'second']);
    expect(time.nowMs()).toBe(15);
    await time.run(30);
    expect(seen.at(-1)).toBe('late');
  });

  test("a process's timers follow its own clock rate", async () => {
    const time = new VirtualTime();
    const fast = time.processEnvironment({ name: 'fast', clockRate: 1.02, skewMs: 700 });
    let firedAtMs = -1;
    fast.timers.after(1_020, () => {
      firedAtMs = time.nowMs();
    });
    await time.run(2_000);
    expect(firedAtMs).toBeCloseTo(1_000, 6);
    expect(fast.clock.monotonicMs()).toBeCloseTo(2_040, 6);
  });

  test('what is due for a paused process waits, in order; its clock goes on; a dead process runs nothing', async () => {
    const time = new VirtualTime();
    const node = time.processEnvironment({ name: 'node' });
    const seen: string[] = [];
    node.timers.after(10, () => seen.push(`timer at ${node.clock.monotonicMs()}`));
    const cancelled = node.timers.after(12, () => seen.push('cancelled'));
    node.deliver(15, () => seen.push('message'));
    node.pause();
    await time.run(100);
    expect(seen).toEqual([]);
    cancelled.cancel();
    node.resume();
    await time.run(101);
    expect(seen).toEqual(['timer at 100', 'message']);
    node.timers.after(1, () => seen.push('after death'));
    node.kill();
    await time.run(200);
    expect(seen).toHaveLength(2);
  });

  test('sleep ends early when its signal aborts', async () => {
    const time = new VirtualTime();
    const process = time.processEnvironment({ name: 'p' });
    const abort = new AbortController();
    let wokeAtMs = -1;
    void process.timers.sleep(1_000, abort.signal).then(() => {
      wokeAtMs = time.nowMs();
    });
    time.after(40, () => abort.abort());
    await time.run(50);
    expect(wokeAtMs).toBe(40);
  });

  test('a failed check ends the run even when its caller swallows errors', async () => {
    const time = new VirtualTime();
    time.after(5, () => time.fail(new Error('I-3')));
    await expect(time.run(10)).rejects.toThrow('I-3');
  });
});

describe('seeded randomness', () => {
  test('one seed, one sequence; forks depend on the name alone', () => {
    const draw = (seed: number): number[] => {
      const random = seededRandom(seed);
      return Array.from({ length: 5 }, () => random.below(1_000));
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
    const used = seededRandom(7);
    used.next();
    expect(used.fork('network').hex(8)).toBe(seededRandom(7).fork('network').hex(8));
  });

  test('draws are spread evenly: chi-square over 16 cells of 16,000 draws stays below its 99.9 % bound', () => {
    const random = seededRandom('even');
    const cells = new Array<number>(16).fill(0);
    for (let i = 0; i < 16_000; i++) cells[random.below(16)]!++;
    const chiSquare = cells.reduce((sum, count) => sum + (count - 1_000) ** 2 / 1_000, 0);
    expect(chiSquare).toBeLessThan(37.7);
  });
});

test('a trace hashes every line, also those it no longer keeps', () => {
  const write = (changedLine: number): string => {
    const trace = new Trace(() => 0);
    for (let i = 0; i < 10_000; i++) trace.add('source', i === changedLine ? 'other' : 'line');
    return trace.digest();
  };
  expect(write(-1)).toBe(write(-1));
  expect(write(3)).not.toBe(write(-1));
});
