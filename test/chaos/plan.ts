import type { SeededRandom } from '../simulation/random.ts';

/** Which faults a run injects, in which order, into which nodes and for how long: by the seed alone. */

export const FAULT_KINDS = [
  /** SIGKILL of a node's process; it is started again over its directory. */
  'kill_node',
  'kill_control_plane',
  /** SIGSTOP for longer than a lease. */
  'freeze_node',
  'freeze_control_plane',
  'full_disk',
  /** A node dies and comes back with the directory as it was when the run began. */
  'old_directory',
  /** Two nodes die, their directories are swapped, and both are started; then swapped back. */
  'swapped_directories',
  /** A second process with a node's id, over a copy of its directory. */
  'duplicate_node',
  'slow_network',
  'cut_network',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export interface PlannedFault {
  readonly kind: FaultKind;
  /** Index of the node; faults of the control plane do without. If that node is busy with another fault, the next one that is free. */
  readonly node: number;
  /** Time until it begins, after the one before it began. */
  readonly pauseMs: number;
  readonly lastsMs: number;
  /** Uniform in [0, 1): chooses among the forms of the fault. */
  readonly form: number;
}

/**
 * How often each kind is in the deck, and how long it lasts at least and at most, ms. A lease takes 3 s, and about 5 s pass until a
 * silent leader has a successor: what a leader does that wakes up later than that is what freezes are for.
 */
const KINDS: Readonly<Record<FaultKind, { readonly cards: number; readonly lastsMs: readonly [number, number] }>> = {
  kill_node: { cards: 3, lastsMs: [200, 8_000] },
  kill_control_plane: { cards: 2, lastsMs: [200, 6_000] },
  freeze_node: { cards: 3, lastsMs: [4_500, 9_000] },
  freeze_control_plane: { cards: 1, lastsMs: [3_600, 6_000] },
  full_disk: { cards: 1, lastsMs: [4_000, 8_000] },
  old_directory: { cards: 1, lastsMs: [200, 3_000] },
  swapped_directories: { cards: 1, lastsMs: [500, 2_000] },
  duplicate_node: { cards: 1, lastsMs: [4_000, 8_000] },
  slow_network: { cards: 2, lastsMs: [2_000, 6_000] },
  cut_network: { cards: 5, lastsMs: [1_500, 10_000] },
};
const PAUSE_MS = [1_000, 3_500] as const;

/** Without end: shuffled decks, so that each kind has come after every deck. */
export function* plannedFaults(random: SeededRandom, nodes: number): Generator<PlannedFault, never, undefined> {
  for (;;) {
    const deck = FAULT_KINDS.flatMap((kind) => Array.from({ length: KINDS[kind].cards }, () => kind));
    while (deck.length > 0) {
      const [kind] = deck.splice(random.below(deck.length), 1);
      if (kind === undefined) break;
      yield {
        kind,
        node: random.below(nodes),
        pauseMs: random.between(...PAUSE_MS),
        lastsMs: random.between(...KINDS[kind].lastsMs),
        form: random.next(),
      };
    }
  }
}
