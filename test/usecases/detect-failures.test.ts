import { detectorRun } from '../support/detector-run.ts';
import type { DetectorRun } from '../support/detector-run.ts';

/** Bound of a fence after a node's last renewal: lease 3 s + bound 0.5 s since the first read, which is at most one tick late, and one tick more. */
const FENCE_MS_MAX = 3_000 + 500 + 1_000 + 1_000;

describe('the detector under virtual time (L2, L5)', () => {
  let run: DetectorRun;
  afterEach(() => run.close());

  test('a node that stops renewing is fenced on its deadline, its shards are led again; the others stay', async () => {
    run = await detectorRun({ nodes: 5, zones: 3 });
    run.startDetector();
    await run.until(20_000);
    expect(run.fences()).toEqual([]);
    run.stopNode(1);
    await run.until(20_000 + FENCE_MS_MAX);
    expect(run.fences().map(({ node }) => node)).toEqual(['node-1']);
    expect(run.fences()[0]!.afterMs).toBeGreaterThanOrEqual(3_500 - 1_000); // last renewal up to one period before the stop
    expect(await run.leaders()).not.toContain('node-1');
  });

  test('a node of a pack that stops renewing is fenced on its deadline, registers again, and is watched again; the others stay', async () => {
    run = await detectorRun({ nodes: 5, zones: 3, relay: 'relay-1' });
    run.startDetector();
    await run.until(20_000);
    expect(run.fences()).toEqual([]);
    run.stopNode(1);
    await run.until(20_000 + FENCE_MS_MAX);
    expect(run.fences().map(({ node }) => node)).toEqual(['node-1']);
    expect(run.fences()[0]!.afterMs).toBeGreaterThanOrEqual(3_500 - 1_000);
    expect(await run.leaders()).not.toContain('node-1');
    await run.restartNode(1);
    await run.until(40_000);
    expect(run.fences()).toHaveLength(1);
    run.stopNode(1);
    await run.until(40_000 + FENCE_MS_MAX);
    expect(run.fences().map(({ node }) => node)).toEqual(['node-1', 'node-1']);
  });

  test('at a planned handover the standby has seen every sequence and fences as fast', async () => {
    run = await detectorRun({ nodes: 5, zones: 3 });
    run.startDetector({ runForMs: 30_000 });
    await run.until(10_000);
    run.startDetector();
    run.stopNodeAt(1, 29_500);
    await run.until(29_500 + FENCE_MS_MAX);
    expect(run.fences().map(({ node }) => node)).toEqual(['node-1']);
  });

  test('a loop that has just begun leaves a released lease to the standby that has seen every sequence', async () => {
    run = await detectorRun({ nodes: 5, zones: 3 });
    run.startDetector({ runForMs: 30_000 });
    await run.until(10_500);
    run.startDetector();
    run.stopNodeAt(1, 28_000);
    await run.until(30_050);
    run.startDetector(); // its first tick comes before the standby's next one
    await run.until(28_000 + FENCE_MS_MAX);
    expect(run.fences().map(({ node }) => node)).toEqual(['node-1']);
  });

  test('a detector that dies without a word is replaced within its lease; the fence is late by no more than that', async () => {
    run = await detectorRun({ nodes: 5, zones: 3 });
    const first = run.startDetector();
    await run.until(10_000);
    run.startDetector();
    await run.until(20_000);
    first.kill();
    run.stopNode(1);
    await run.until(20_000 + FENCE_MS_MAX + 2_000);
    expect(run.fences().map(({ node }) => node)).toEqual(['node-1']);
  });

  test('only one of two overlapping loops acts', async () => {
    run = await detectorRun({ nodes: 5, zones: 3 });
    run.startDetector();
    run.startDetector();
    await run.until(10_000);
    const writes = run.detectorBeats();
    expect(writes).toBeGreaterThanOrEqual(8);
    expect(writes).toBeLessThanOrEqual(11); // one beat a tick, not two
  });

  test('a paused detector that wakes up does not fence by what it saw before its pause (L2)', async () => {
    run = await detectorRun({ nodes: 5, zones: 3 });
    const detector = run.startDetector();
    await run.until(10_400);
    detector.pause();
    await run.until(40_000);
    detector.resume();
    await run.until(60_000);
    expect(run.fences()).toEqual([]);
  });

  test('all nodes lost at once: the brake holds, marks let them register again, and it releases when they renew (L4, L5)', async () => {
    run = await detectorRun({ nodes: 6, zones: 3 });
    run.startDetector();
    await run.until(10_000);
    for (let node = 1; node <= 6; node++) run.stopNode(node);
    await run.until(25_000);
    expect(run.fences()).toEqual([]);
    expect((await run.brake())?.reason).toContain('6 of 6 nodes lost');
    for (let node = 1; node <= 6; node++) await run.restartNode(node); // registration is never braked
    await run.until(30_000);
    expect(await run.brake()).toBeNull();
    expect(run.fences()).toEqual([]);
  });

  test('a loop whose first read of the zones failed reads them at its next tick: the brake is not blind meanwhile (L5)', async () => {
    run = await detectorRun({ nodes: 6, zones: 3 });
    run.storeOutage('UNAVAILABLE');
    run.startDetector();
    await run.until(1_500);
    run.storeBack();
    await run.until(10_000);
    for (let node = 1; node <= 6; node++) run.stopNode(node);
    await run.until(25_000);
    expect(run.fences()).toEqual([]);
    expect((await run.brake())?.reason).toContain('6 of 6 nodes lost');
  });

  test('one zone lost does not trip the brake: every node of it is fenced', async () => {
    run = await detectorRun({ nodes: 9, zones: 3 });
    run.startDetector();
    await run.until(10_000);
    for (const node of [1, 4, 7]) run.stopNode(node); // all of zone a
    await run.until(10_000 + FENCE_MS_MAX);
    expect(
      run
        .fences()
        .map(({ node }) => node)
        .sort(),
    ).toEqual(['node-1', 'node-4', 'node-7']);
  });

  test('nodes that stay away are fenced at a capped rate once the brake yields, with an alarm (L5)', async () => {
    run = await detectorRun({ nodes: 6, zones: 3 });
    run.startDetector();
    await run.until(10_000);
    for (let node = 1; node <= 6; node++) run.stopNode(node);
    await run.until(95_000);
    const fences = run.fences();
    expect(fences.length).toBeGreaterThanOrEqual(2);
    for (let i = 1; i < fences.length; i++) expect(fences[i]!.atMs - fences[i - 1]!.atMs).toBeGreaterThanOrEqual(4_900);
    expect(run.logged('brake-yields')).toBeGreaterThanOrEqual(2);
  });

  test("an outage of the store shorter than its own reads' gap fences nobody; heartbeats resume", async () => {
    run = await detectorRun({ nodes: 5, zones: 3 });
    run.startDetector();
    await run.until(10_000);
    run.storeOutage('UNAVAILABLE');
    await run.until(30_000);
    run.storeBack();
    await run.until(45_000);
    expect(run.fences()).toEqual([]);
  });
});
