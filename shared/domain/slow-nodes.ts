import type { NodeId } from './ids.ts';

/**
 * Gray failure: a node that renews its lease and is slow all the same. No fixed limit tells it (load and hardware differ), its peers do:
 * "Fail-Slow at Scale" (Gunawi et al., FAST '18) and Perseus (Lu et al., FAST '23) judge a device against others under the same load.
 * A beat is slow if it is far above the median of the peers both by the peers' own scatter (median absolute deviation, Hampel's
 * identifier) and by a factor, since among peers that hardly scatter every difference is "far". Sustained over beats, with hysteresis.
 */

/** One slower beat of one node. Null: too few requests or syncs to say. */
export interface PaceSample {
  readonly nodeId: NodeId;
  readonly fsyncMsP99: number | null;
  readonly latencyMsP99: number | null;
}

/** What is remembered of a node from beat to beat. */
export interface PaceRecord {
  readonly pace: 'NORMAL' | 'SLOW';
  /** Successive beats that spoke against the present pace. */
  readonly against: number;
}

export interface SlowNodeOptions {
  /** Peers with a sample below which nobody is judged: a median of few says little. */
  readonly peersMin: number;
  /** Scaled median absolute deviations above the median; 3 is Hampel's usual cut, more because latencies have long tails. */
  readonly deviationsMin: number;
  /** Times the median. */
  readonly factorToSlow: number;
  /** Below so many times the median a slow node's beat counts as recovered: lower than `factorToSlow`, so that nothing flaps. */
  readonly factorToRecover: number;
  /** Least milliseconds above the median that matter to a client. */
  readonly excessMsMin: number;
  /** Successive slow beats until a node is SLOW: 6 beats of 10 s are a minute. */
  readonly beatsToSlow: number;
  /** Successive good beats until it is NORMAL: 30 of 10 s are 5 minutes, as TiKV's slow score takes to recover. */
  readonly beatsToRecover: number;
  /** Share of the judged nodes that may be SLOW at once: if many are, the load or the network is, and moving leaders only adds to it. */
  readonly slowShareMax: number;
}

export const DEFAULT_SLOW_NODE_OPTIONS: SlowNodeOptions = {
  peersMin: 3,
  deviationsMin: 5,
  factorToSlow: 3,
  factorToRecover: 1.5,
  excessMsMin: 10,
  beatsToSlow: 6,
  beatsToRecover: 30,
  slowShareMax: 0.2,
};

export interface PaceVerdict {
  readonly records: ReadonlyMap<NodeId, PaceRecord>;
  /** What changed in this beat, and by which measure. */
  readonly changed: readonly {
    readonly nodeId: NodeId;
    readonly pace: PaceRecord['pace'];
    readonly measure: 'FSYNC' | 'LATENCY' | null;
    readonly valueMs: number | null;
    readonly medianMs: number | null;
  }[];
  /** Nodes due to be SLOW that are held back by `slowShareMax`. */
  readonly heldBack: readonly NodeId[];
}

/** Scales the median absolute deviation to a standard deviation, for a normal distribution. */
const MAD_SCALE = 1.4826;

/**
 * One beat of all nodes against what is remembered of them. Nodes without a sample keep their record; nodes that are not
 * sampled are forgotten, so `samples` names every node. A pure function: call it once per beat.
 */
export function slowNodes(
  samples: readonly PaceSample[],
  before: ReadonlyMap<NodeId, PaceRecord>,
  options: SlowNodeOptions = DEFAULT_SLOW_NODE_OPTIONS,
): PaceVerdict {
  const judges = [
    judge('FSYNC', samples, (sample) => sample.fsyncMsP99, options),
    judge('LATENCY', samples, (sample) => sample.latencyMsP99, options),
  ];
  const records = new Map<NodeId, PaceRecord>();
  const changed: PaceVerdict['changed'][number][] = [];
  const heldBack: NodeId[] = [];
  let slow = samples.filter(({ nodeId }) => before.get(nodeId)?.pace === 'SLOW').length;
  for (const sample of samples) {
    const { nodeId } = sample;
    const old = before.get(nodeId) ?? { pace: 'NORMAL', against: 0 };
    const findings = judges.map((judgeOne) => judgeOne(sample));
    const culprit = findings.find((finding) => finding.verdict === 'SLOW');
    const speaksAgainst =
      old.pace === 'NORMAL'
        ? culprit !== undefined
        : findings.some(({ verdict }) => verdict === 'GOOD') &&
          findings.every(({ verdict }) => verdict === 'GOOD' || verdict === 'UNKNOWN');
    if (findings.every(({ verdict }) => verdict === 'UNKNOWN')) {
      records.set(nodeId, old);
      continue;
    }
    const against = speaksAgainst ? old.against + 1 : 0;
    const needed = old.pace === 'NORMAL' ? options.beatsToSlow : options.beatsToRecover;
    if (against < needed) {
      records.set(nodeId, { pace: old.pace, against });
    } else if (old.pace === 'SLOW') {
      records.set(nodeId, { pace: 'NORMAL', against: 0 });
      changed.push({ nodeId, pace: 'NORMAL', measure: null, valueMs: null, medianMs: null });
    } else if (slow + 1 > options.slowShareMax * samples.length && slow > 0) {
      // One may always be marked: in a small cluster the share allows less than one node.
      records.set(nodeId, { pace: 'NORMAL', against: needed });
      heldBack.push(nodeId);
    } else {
      slow += 1;
      records.set(nodeId, { pace: 'SLOW', against: 0 });
      const { measure, valueMs, medianMs } = culprit ?? { measure: null, valueMs: null, medianMs: null };
      changed.push({ nodeId, pace: 'SLOW', measure, valueMs, medianMs });
    }
  }
  return { records, changed, heldBack };
}

interface Finding {
  readonly measure: 'FSYNC' | 'LATENCY';
  readonly verdict: 'SLOW' | 'BETWEEN' | 'GOOD' | 'UNKNOWN';
  readonly valueMs: number | null;
  readonly medianMs: number | null;
}

function judge(
  measure: Finding['measure'],
  samples: readonly PaceSample[],
  valueOf: (sample: PaceSample) => number | null,
  options: SlowNodeOptions,
): (sample: PaceSample) => Finding {
  const values = samples.map(valueOf).filter((value) => value !== null);
  // One median for all: a single outlier among `peersMin` others barely shifts it.
  const medianMs = values.length > options.peersMin ? medianOf(values) : null;
  if (medianMs === null) return (sample) => ({ measure, verdict: 'UNKNOWN', valueMs: valueOf(sample), medianMs: null });
  const scatter = MAD_SCALE * medianOf(values.map((value) => Math.abs(value - medianMs)));
  const slowFrom = Math.max(
    medianMs + options.deviationsMin * scatter,
    medianMs * options.factorToSlow,
    medianMs + options.excessMsMin,
  );
  const goodUpTo = Math.max(medianMs * options.factorToRecover, medianMs + options.excessMsMin / 2);
  return (sample) => {
    const valueMs = valueOf(sample);
    if (valueMs === null) return { measure, verdict: 'UNKNOWN', valueMs, medianMs };
    const verdict = valueMs >= slowFrom ? 'SLOW' : valueMs <= goodUpTo ? 'GOOD' : 'BETWEEN';
    return { measure, verdict, valueMs, medianMs };
  };
}

/** Of at least one value. */
function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}
