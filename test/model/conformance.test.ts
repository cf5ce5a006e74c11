import type { ModelEvent } from './events.ts';
import { recordRun } from './recorder.ts';
import { firstRefusal } from './traces.ts';

/** Virtual minutes of a run. */
const MINUTES = 0.6;
/** The first of so many seeds is taken that shows all that is tampered with below: elections, transfers, and a copy that joins IN_SYNC. */
const SEEDS_MAX = 8;
const RUN_MS_MAX = 120_000;

type Of<T extends ModelEvent['type']> = Extract<ModelEvent, { type: T }>;
type Tamper = (events: readonly ModelEvent[]) => readonly ModelEvent[];

/** The events with one replaced: the first of its type that fits. Fails the test if there is none. */
const replacing =
  <T extends ModelEvent['type']>(
    type: T,
    fits: (event: Of<T>, before: readonly ModelEvent[]) => boolean,
    by: (event: Of<T>) => readonly ModelEvent[],
  ): Tamper =>
  (events) => {
    const at = events.findIndex((event, index) => event.type === type && fits(event as Of<T>, events.slice(0, index)));
    if (at < 0) throw new Error(`the run has no ${type} to tamper with`);
    return [...events.slice(0, at), ...by(events[at] as Of<T>), ...events.slice(at + 1)];
  };

const lastDescriptor = (shard: string, events: readonly ModelEvent[]): Of<'descriptor'> | undefined =>
  events.findLast((event): event is Of<'descriptor'> => event.type === 'descriptor' && event.shard === shard);
/** How often `node` was raised above its first node epoch. */
const wasFenced = (node: string, events: readonly ModelEvent[]): boolean =>
  events.some((event) => event.type === 'node' && event.node === node && event.epoch > 1);

/** The descriptor is a change of leader by receipt, or by fence. */
const isTransfer = (event: Of<'descriptor'>, before: readonly ModelEvent[]): boolean => {
  const last = lastDescriptor(event.shard, before);
  return last !== undefined && event.epoch === last.epoch + 1 && !wasFenced(last.leader, before);
};
const isLeaderChange = (event: Of<'descriptor'>, before: readonly ModelEvent[]): boolean => {
  const last = lastDescriptor(event.shard, before);
  return last !== undefined && event.epoch > last.epoch;
};

const TAMPERED: Readonly<Record<string, { readonly guards: readonly string[]; readonly tamper: Tamper }>> = {
  'a node epoch skips one': {
    guards: ['L1'],
    tamper: replacing(
      'node',
      ({ epoch }) => epoch > 1,
      (event) => [{ ...event, epoch: event.epoch + 1 }],
    ),
  },
  'a generation is given twice': {
    guards: ['GENERATION'],
    tamper: replacing(
      'descriptor',
      ({ shard }, before) => lastDescriptor(shard, before) !== undefined,
      (event) => [{ ...event, generation: event.generation - 1 }],
    ),
  },
  'a promise falls': {
    guards: ['R5_PROMISE'],
    tamper: replacing(
      'promised',
      ({ epoch }) => epoch > 1,
      (event) => [event, { ...event, epoch: event.epoch - 1 }],
    ),
  },
  'an epoch is taken up without its promise': {
    guards: ['R5_PROMISE'],
    tamper: (events) => {
      const at = events.findIndex(
        (event, index) => event.type === 'descriptor' && isLeaderChange(event, events.slice(0, index)),
      );
      const { shard, epoch, leader } = events[at] as Of<'descriptor'>;
      return events.filter(
        (event) =>
          !(event.type === 'promised' && event.shard === shard && event.node === leader && event.epoch === epoch),
      );
    },
  },
  'a follower did not hold what was acknowledged': {
    guards: ['R1_DROP', 'R5_TRUNCATE'],
    tamper: (events) => {
      const last = events.findLast((event): event is Of<'acknowledged'> => event.type === 'acknowledged');
      const holds = (event: ModelEvent): boolean =>
        event.type === 'appended' &&
        event.entries.some(({ writes }) => writes.some(({ value }) => value === last?.value));
      const follower = events.findLastIndex(holds);
      return events.filter((_, index) => index !== follower);
    },
  },
  'a write is acknowledged that nobody wrote': {
    guards: ['R1_DROP'],
    tamper: replacing(
      'acknowledged',
      () => true,
      (event) => [{ ...event, value: 'never written' }],
    ),
  },
  'a follower takes an entry of another term': {
    guards: ['R5_TRUNCATE', 'R5_PROMISE'],
    tamper: replacing(
      'appended',
      ({ entries }) => entries.some(({ writes }) => writes.length > 0),
      (event) => [{ ...event, entries: event.entries.map((entry) => ({ ...entry, epoch: entry.epoch + 7 })) }],
    ),
  },
  'an acknowledged entry is truncated': {
    guards: ['I6'],
    tamper: (events) => {
      const at = events.findIndex(({ type }) => type === 'acknowledged');
      const { value } = events[at] as Of<'acknowledged'>;
      const written = events.find(
        (event): event is Of<'appended'> =>
          event.type === 'appended' &&
          event.entries.some(({ writes }) => writes.some((write) => write.value === value)),
      );
      if (written === undefined) throw new Error('an acknowledgement without a write');
      const { node, shard } = written;
      return [...events.slice(0, at + 1), { type: 'truncated', node, shard, seq: 0 }, ...events.slice(at + 1)];
    },
  },
  'a replica that is not listed is elected': {
    guards: ['E1_LISTED'],
    tamper: replacing('descriptor', isLeaderChange, (event) => [{ ...event, leader: 'node-999' }]),
  },
  'a leader changes without a receipt': {
    guards: ['E2_RECEIPT'],
    tamper: (events) => {
      const at = events.findIndex(
        (event, index) => event.type === 'descriptor' && isTransfer(event, events.slice(0, index)),
      );
      if (at < 0) throw new Error('the run has no transfer');
      const { shard } = events[at] as Of<'descriptor'>;
      return events.filter((event, index) => !(event.type === 'receipt' && event.shard === shard && index < at));
    },
  },
  'an election without a fence': {
    // R2_SESSION: the registration that is left out may have had a session of replication first.
    guards: ['L1', 'E2_RECEIPT', 'R2_SESSION'],
    tamper: (events) => {
      const at = events.findIndex((event, index) => {
        if (event.type !== 'descriptor' || !isLeaderChange(event, events.slice(0, index))) return false;
        return wasFenced(lastDescriptor(event.shard, events.slice(0, index))?.leader ?? '', events.slice(0, index));
      });
      if (at < 0) throw new Error('the run has no election');
      const old = lastDescriptor((events[at] as Of<'descriptor'>).shard, events.slice(0, at))?.leader;
      return events.filter(
        (event, index) => !(event.type === 'node' && event.node === old && event.epoch > 1 && index < at),
      );
    },
  },
  'a receipt is taken back': {
    guards: ['E2_BAR'],
    tamper: replacing(
      'receipt',
      () => true,
      (event) => [event, { ...event, epoch: event.epoch - 1 }],
    ),
  },
  'a copy joins IN_SYNC before it is filled': {
    guards: ['R2_WHOLE'],
    tamper: (events) => {
      // Everything that the joiner took before it was listed is left out.
      const at = events.findIndex((event, index) => {
        if (event.type !== 'descriptor') return false;
        const last = lastDescriptor(event.shard, events.slice(0, index));
        const acknowledged = events.slice(0, index).filter(({ type }) => type === 'acknowledged').length;
        return acknowledged > 20 && joiner(event, last) !== undefined && last?.epoch === event.epoch;
      });
      if (at < 0) throw new Error('nobody joined in the run');
      const event = events[at] as Of<'descriptor'>;
      const node = joiner(event, lastDescriptor(event.shard, events.slice(0, at)))?.node ?? '';
      const empty: ModelEvent[] = [
        { type: 'removed', node, shard: event.shard },
        { type: 'created', node, shard: event.shard, promised: event.epoch },
      ];
      return [...events.slice(0, at), ...empty, ...events.slice(at)];
    },
  },
};

const joiner = (
  event: Of<'descriptor'>,
  last: Of<'descriptor'> | undefined,
): Of<'descriptor'>['replicas'][number] | undefined =>
  event.replicas.find(
    ({ node, inSync }) => inSync && last?.replicas.some((replica) => replica.node === node && !replica.inSync) === true,
  );

/** There is something to tamper with in each of the ways above. */
function showsAll(events: readonly ModelEvent[]): boolean {
  return Object.values(TAMPERED).every(({ tamper }) => {
    try {
      return tamper(events).length > 0;
    } catch {
      return false;
    }
  });
}

describe('runs of the simulation are runs of the model', () => {
  let events: ModelEvent[] = [];
  beforeAll(async () => {
    for (let seed = 1; seed <= SEEDS_MAX && !showsAll(events); seed++) {
      events = [];
      const { problems } = await recordRun({ seed, minutes: MINUTES, operated: true }, (event) => events.push(event));
      expect({ seed, problems }).toEqual({ seed, problems: [] });
      expect({ seed, refused: firstRefusal(events) }).toEqual({ seed, refused: null });
    }
  }, RUN_MS_MAX);

  test('each event of a run is allowed, and it shows something', () => {
    expect(firstRefusal(events)).toBeNull();
    expect(showsAll(events)).toBe(true);
    const kinds = new Set(events.map(({ type }) => type));
    expect([...kinds].sort()).toEqual(
      expect.arrayContaining([
        'acknowledged',
        'appended',
        'created',
        'descriptor',
        'node',
        'opened',
        'promised',
        'receipt',
      ]),
    );
  });

  test.each(Object.entries(TAMPERED))('not if %s', (_, { guards, tamper }) => {
    const found = firstRefusal(tamper(events));
    expect(guards).toContain(found?.refusal.guard);
  });
});
