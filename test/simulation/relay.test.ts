import { simulate } from './cluster.ts';
import type { ScenarioCluster } from './options.ts';

/** The death of a relay costs its nodes a missed beat each, and no lease. */
const RELAY = 'node-101';
const QUIET_MS = 10_000;
const DEAD_MS = 8_000;
const SEED_MS_MAX = 60_000;

test.each([1, 2, 3])(
  'a relay that dies takes no other lease with it; its nodes come back to it (L3), seed %i',
  async (seed) => {
    const lines: string[] = [];
    const result = await simulate({
      seed,
      minutes: 0,
      relayed: true,
      onTrace: (line) => lines.push(line),
      scenario: async (cluster: ScenarioCluster) => {
        const { time } = cluster;
        await time.run(time.nowMs() + QUIET_MS);
        const relay = cluster.nodes.find(({ nodeId }) => nodeId === RELAY);
        lines.push('RELAY DIES');
        relay?.crash();
        await time.run(time.nowMs() + DEAD_MS);
        lines.push('RELAY IS BACK');
        relay?.start();
        await time.run(time.nowMs() + 45_000);
      },
    });
    expect(result.problems).toEqual([]);
    const died = lines.indexOf('RELAY DIES');
    const back = lines.indexOf('RELAY IS BACK');
    const batches = (part: readonly string[]): number =>
      part.filter((line) => line.includes('"path":"/cluster/heartbeats","status":200')).length;
    const fenced = lines.slice(died).filter((line) => line.includes('node-fenced'));
    expect(fenced.length).toBe(1);
    expect(fenced[0]).toContain(RELAY);
    // One request a period while the relay lives, none while it is dead, again when it is back.
    expect(batches(lines.slice(0, died))).toBeGreaterThanOrEqual(QUIET_MS / 1_000 - 2);
    expect(batches(lines.slice(died + 20, back))).toBe(0);
    expect(batches(lines.slice(back))).toBeGreaterThan(5);
  },
  SEED_MS_MAX,
);
