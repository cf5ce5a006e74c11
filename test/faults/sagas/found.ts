/** Cases that found a mistake in the product, kept as they were found: way, faults, and what was wrong. */
export const FOUND: readonly { readonly way: string; readonly faults: string; readonly was: string }[] = [
  {
    way: 'create-table',
    faults: 'Activate cancelled-beside',
    was: 'a cancel that was accepted between the look at the boundary and the reading of the step itself was not obeyed',
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
];
