import { leaseHeld, newLease, sequenceAcknowledged, sequenceSent } from '../../../data-node/agent/lease.ts';
import { bootClock } from '../../../data-node/system/environment.ts';

/** L3 as tables. `fast`: a lease of 3,000 ms less the bound of 500 ms is worth 2,500 ms from the send. */
const TERMS = { leaseMs: 3_000, driftBoundMs: 500 };

type Event = readonly ['sent', sequence: number, atMs: number] | readonly ['acknowledged', sequence: number];

const after = (events: readonly Event[]) =>
  events.reduce(
    (lease, event) =>
      event[0] === 'sent' ? sequenceSent(lease, event[1], event[2]) : sequenceAcknowledged(lease, event[1]),
    newLease(TERMS),
  );

describe('a node counts its lease from the first send of the acknowledged sequence (L3)', () => {
  test.each<{ what: string; events: Event[]; heldUntilMs: number | null }>([
    { what: 'nothing sent', events: [], heldUntilMs: null },
    { what: 'sent, not acknowledged', events: [['sent', 1, 0]], heldUntilMs: null },
    {
      what: 'acknowledged',
      events: [
        ['sent', 1, 100],
        ['acknowledged', 1],
      ],
      heldUntilMs: 2_600,
    },
    {
      what: 'a repeated send keeps the first time',
      events: [
        ['sent', 1, 100],
        ['sent', 1, 900],
        ['acknowledged', 1],
      ],
      heldUntilMs: 2_600,
    },
    {
      what: 'an older answer that arrives late extends nothing',
      events: [
        ['sent', 1, 0],
        ['sent', 2, 1_000],
        ['acknowledged', 2],
        ['acknowledged', 1],
      ],
      heldUntilMs: 3_500,
    },
    {
      what: 'an older answer counts from its own send while the newer one is open',
      events: [
        ['sent', 1, 0],
        ['sent', 2, 1_000],
        ['acknowledged', 1],
      ],
      heldUntilMs: 2_500,
    },
    {
      what: 'a sequence that was never sent gives nothing',
      events: [
        ['sent', 1, 0],
        ['acknowledged', 7],
      ],
      heldUntilMs: null,
    },
  ])('$what', ({ events, heldUntilMs }) => {
    const lease = after(events);
    expect(lease.heldUntilMs).toBe(heldUntilMs);
    if (heldUntilMs === null) expect(leaseHeld(lease, 0)).toBe(false);
    else {
      expect(leaseHeld(lease, heldUntilMs - 1)).toBe(true);
      expect(leaseHeld(lease, heldUntilMs)).toBe(false);
    }
  });

  test('sends that can extend nothing any more are forgotten', () => {
    let lease = newLease(TERMS);
    for (let sequence = 1; sequence <= 1_000; sequence++) lease = sequenceSent(lease, sequence, sequence * 1_000);
    expect(lease.firstSentAtMs.size).toBeLessThanOrEqual(3);
  });
});

describe('the boot clock', () => {
  test('is as fine as the fine clock, follows the coarse one over a suspension, and never goes back', () => {
    // True time in ms; the machine is suspended for 60 s at 1,005: the fine clock stands still meanwhile.
    let trueMs = 1_000;
    let suspendedMs = 0;
    const read = bootClock(
      () => Math.floor(trueMs / 10) * 10,
      () => trueMs - suspendedMs,
    );
    let last = -Infinity;
    const at = (ms: number): number => {
      trueMs = ms;
      const now = read();
      expect(now).toBeGreaterThanOrEqual(last);
      expect(now).toBeLessThanOrEqual(trueMs);
      expect(now).toBeGreaterThan(trueMs - 10);
      last = now;
      return now;
    };
    at(1_000);
    at(1_003.25);
    suspendedMs = 60_000;
    at(61_005);
    at(61_009.5);
    expect(at(61_012) - at(61_009.5 + 2.5)).toBe(0);
  });
});
