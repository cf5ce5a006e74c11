/** Cases that found a mistake in the product, kept as they were found: way, faults, and what was wrong. */
export const FOUND: readonly { readonly way: string; readonly faults: string; readonly was: string }[] = [
  {
    way: 'create-table',
    faults: 'Activate cancelled-beside',
    was: 'a cancel that was accepted between the look at the boundary and the reading of the step itself was not obeyed',
  },
  {
    way: 'delete-table',
    faults: 'Begin cancelled-beside, RemoveReplicas fails-for-long',
    was: 'a cancel that was accepted between two steps was not obeyed where the next one kept failing before it could look: FAILED, and redriven it was made in full',
  },
  {
    way: 'move-replica',
    faults: 'Forget fails-for-long',
    was: 'a move that was made in full ended FAILED, and redriven it said ROLLED_BACK',
  },
  {
    way: 'move-replica',
    faults: 'Release fails-for-long, RollBack paused',
    was: 'the same, one step later',
  },
  {
    way: 'move-replica',
    faults: 'Claim frozen-past-end@1',
    was: 'a claim that came after its operation had ended took the shard again',
  },
  {
    way: 'change-replication-factor',
    faults: 'Begin late-after-end, Execute redriven',
    was: 'a redriven operation carried out parts of the plan that had been undone, before it had set the factor again (I-7)',
  },
  {
    way: 'change-replication-factor',
    faults: 'Execute crashed@2, Execute cancelled',
    was: 'a part that a step had started when it died was forgotten by the undoing, and took a copy away after it (I-7, I-10)',
  },
  {
    way: 'repair-shards',
    faults: 'Execute frozen-past-end@1, Finish fails-after',
    was: 'a step that stood still before the start of a part, and went on when the operation had ended, noted the part that was done as running for good',
  },
  {
    way: 'repair-shards',
    faults: 'Plan nodes-silent, Plan cancelled-beside',
    was: 'nothing: a copy that was added stays where too few in sync would be left without it (I-7), and the check of what an undoing leaves did not know',
  },
  {
    way: 'drain-node',
    faults: 'Finish repeated, Finish fails-for-long',
    was: 'a node that was buried already was called rolled back when the last steps kept failing',
  },
  {
    way: 'rebalance',
    faults: 'Execute redriven',
    was: 'kept beside the fix of parts that an undoing forgot: what it took off a given plan is done by a redrive',
  },
];
