/** What is checked: the models under their bounds and faults, and each guard whose removal must break an invariant. */

export interface ModelRun {
  readonly name: string;
  readonly model: string;
  readonly defines: readonly string[];
  /** Bounds and faults, in words. */
  readonly bounds: string;
}

export interface GuardRun {
  /** The rule of docs/protocol.md. */
  readonly rule: string;
  /** The switch without `NO_`. */
  readonly guard: string;
  readonly model: string;
  /** Bounds and faults under which its absence shows. */
  readonly defines: readonly string[];
  /** What is left out, in words. */
  readonly without: string;
}

/** Models that are searched in a second or two, and those of leadership that stand for it in the quick part, by the run's name. */
const QUICK_MODELS: ReadonlySet<string> = new Set(['lease', 'membership', 'directory']);
const QUICK_RUNS: ReadonlySet<string> = new Set(['transfers', 'leadership with leases']);

/** Belongs to the quick part (`npm run model -- --quick`). `name`: of the run, or its guard. */
export const isQuick = (model: string, name: string): boolean => QUICK_MODELS.has(model) || QUICK_RUNS.has(name);

export const MODELS: readonly ModelRun[] = [
  {
    name: 'lease',
    model: 'lease',
    defines: [],
    bounds: 'one node id, two processes, one detector, node epochs 1-2, two renewals each, clock drift up to the bound',
  },
  {
    name: 'lease, two detectors',
    model: 'lease',
    defines: ['D=2'],
    bounds: 'the same with two detectors',
  },
  {
    name: 'leadership with leases',
    model: 'leadership',
    defines: ['CLOCK', 'EPOCHS=2', 'WRITES=1'],
    bounds: '3 nodes, epochs 1-2, each node fenced once, 1 write',
  },
  {
    name: 'leadership without clocks',
    model: 'leadership',
    defines: ['EPOCHS=2', 'WRITES=2'],
    bounds: '3 nodes, epochs 1-2, each node fenced once, 2 writes; no clock is trusted',
  },
  {
    name: 'three terms without clocks',
    model: 'leadership',
    defines: ['EPOCHS=3', 'WRITES=1'],
    bounds: '3 nodes, epochs 1-3, each node fenced once, 1 write; no clock is trusted',
  },
  {
    name: 'reads without a lease',
    model: 'leadership',
    defines: ['READS', 'EPOCHS=2', 'WRITES=1'],
    bounds: '3 nodes, epochs 1-2, each node fenced once, 1 write, rounds of confirmations (E5)',
  },
  {
    name: 'transfers',
    model: 'leadership',
    defines: ['CLOCK', 'TRANSFERS', 'EPOCHS=3', 'WRITES=1', 'NODE_EPOCHS=1'],
    bounds: '3 nodes, epochs 1-3, no fence, 1 write',
  },
  {
    name: 'transfers and fences',
    model: 'leadership',
    defines: ['CLOCK', 'TRANSFERS', 'EPOCHS=2', 'WRITES=1'],
    bounds: '3 nodes, epochs 1-2, each node fenced once, 1 write',
  },
  {
    name: 'a lost directory',
    model: 'leadership',
    defines: ['WIPES=1', 'EPOCHS=2', 'WRITES=1'],
    bounds: '3 nodes, epochs 1-2, each node fenced once, 1 write, one directory lost',
  },
  {
    name: 'a rolled-back directory',
    model: 'leadership',
    defines: ['WIPES=1', 'ROLLBACK', 'EPOCHS=2', 'WRITES=1'],
    bounds: '3 nodes, epochs 1-2, each node fenced once, 1 write, one directory taken back to the beginning',
  },
  {
    name: 'repeated writes',
    model: 'leadership',
    defines: ['RETRIES', 'EPOCHS=2', 'WRITES=2'],
    bounds: '3 nodes, epochs 1-2, each node fenced once, 2 writes, the first repeated at will',
  },
  { name: 'membership', model: 'membership', defines: [], bounds: '4 nodes, a move to and fro, each node fenced once' },
  {
    name: 'membership, rivals',
    model: 'membership',
    defines: ['RIVALS'],
    bounds: '4 nodes, two operations at one shard',
  },
  {
    name: 'split',
    model: 'split',
    defines: ['WRITES=1', 'FENCES=1'],
    bounds: "3 nodes, the child's epochs 2-3, one fence, 1 write",
  },
  {
    name: 'merge',
    model: 'merge',
    defines: ['FENCES=1'],
    bounds: '3 nodes, epochs 1-2 of one part, one fence, 1 write to each part, one list shrinks',
  },
  { name: 'directory', model: 'directory', defines: [], bounds: '2 pages, 4 shards, epochs 1-3' },
];

const lease = (rule: string, guard: string, without: string): GuardRun => ({
  rule,
  guard,
  model: 'lease',
  defines: [],
  without,
});
const shard = (rule: string, guard: string, defines: readonly string[], without: string): GuardRun => ({
  rule,
  guard,
  model: 'leadership',
  defines: ['DEEP', ...defines],
  without,
});
const move = (rule: string, guard: string, without: string, defines: readonly string[] = []): GuardRun => ({
  rule,
  guard,
  model: 'membership',
  defines,
  without,
});
const pages = (rule: string, guard: string, without: string): GuardRun => ({
  rule,
  guard,
  model: 'directory',
  defines: [],
  without,
});

const SMALL = ['EPOCHS=2', 'WRITES=1'] as const;

const split = (guard: string, without: string, defines: readonly string[] = ['WRITES=1']): GuardRun => ({
  rule: 'S1',
  guard,
  model: 'split',
  defines,
  without,
});
const merge = (guard: string, without: string): GuardRun => ({
  rule: 'S2',
  guard,
  model: 'merge',
  defines: ['DEEP'],
  without,
});

export const GUARDS: readonly GuardRun[] = [
  lease('L1', 'L1_SEQUENCE', 'a fence does not require the sequence that was observed'),
  lease('L1', 'L1_RENEW', 'a renewal does not require its node epoch'),
  lease('L1', 'L1_ITEM', 'sequence and node epoch are not one item: a renewal looks at one and then writes the other'),
  lease('L2', 'L2_READ', 'the wait does not begin anew with a new sequence'),
  lease('L2', 'L2_WAIT', 'the detector waits for the lease without the bound'),
  lease('L3', 'L3_SEND', 'a node counts its lease from the answer'),
  lease('L3', 'L3_BOUND', 'a node does not subtract the bound'),
  lease('L3', 'L3_SUSPEND', "a node's clock stands still in a pause"),
  lease('L3', 'L3_RELAY', 'a relay answers before the commit'),
  lease('L4', 'L4_MARK', 'a start registers over a lease in force'),
  lease('L4', 'L4_MATCH', 'the mark of an older sequence lets a start register'),
  lease('L4', 'L4_RELEASE', 'a process releases its lease and serves on'),
  shard('-', 'GENERATION', SMALL, 'a descriptor write does not require the generation'),
  shard('R1', 'R1_DROP', SMALL, 'a leader drops a listed replica'),
  shard('R1', 'R1_FENCE', SMALL, 'a leader drops a replica since its node is fenced'),
  shard('R1', 'R1_FLOOR', SMALL, 'IN_SYNC falls below min_in_sync'),
  shard('R2', 'R2_REQUIRE', SMALL, 'a replica is proposed before it is required'),
  shard('R2', 'R2_WHOLE', SMALL, 'a replica is proposed that lacks entries'),
  shard('R2', 'R2_UNKNOWN', SMALL, 'a proposal without an answer counts as refused'),
  shard('R2', 'R2_SESSION', ['WIPES=1', ...SMALL], 'a proposal does not carry the node epoch of its session'),
  shard('R3', 'L3', ['CLOCK', ...SMALL], 'a node serves reads after its lease'),
  shard('R5', 'R5_PROMISE', SMALL, 'a follower does not refuse lower epochs'),
  shard('R5', 'R5_NOOP', ['EPOCHS=3', 'WRITES=1'], 'a new leader serves before its no-op is committed'),
  shard('R5', 'R5_TRUNCATE', SMALL, 'a follower keeps entries that differ'),
  shard('R5', 'R5_COMMITTED', ['CLOCK', ...SMALL], 'reads return what is not committed'),
  shard('R5', 'R5_ORDER', ['CLOCK', ...SMALL], 'the lease is checked before the read'),
  shard('R6', 'R6', ['RETRIES', ...SMALL], 'write ids are not looked up in the log'),
  shard('E1', 'E1_FENCE', ['CLOCK', ...SMALL], 'an election without a fence'),
  shard('E1', 'E1_LISTED', SMALL, 'a replica that is not IN_SYNC is elected'),
  shard(
    'E1',
    'E1_ENTRY',
    ['WIPES=1', ...SMALL],
    "an entry of a passed node epoch is elected, under the node's present one",
  ),
  shard('E1', 'E1_COPY', ['WIPES=1', ...SMALL], 'leader_node_epoch is looked up at the commit'),
  shard('E1', 'E1_IGNORE', ['WIPES=1', ...SMALL], 'a node takes up a leadership under another node epoch'),
  shard('E2', 'E2_RECEIPT', ['CLOCK', 'TRANSFERS', ...SMALL], 'a transfer without a receipt'),
  shard(
    'E2',
    'E2_EPOCH',
    ['CLOCK', 'TRANSFERS', 'EPOCHS=3', 'WRITES=1', 'NODE_EPOCHS=1'],
    'a receipt of an older epoch counts',
  ),
  shard('E2', 'E2_BAR', ['CLOCK', 'TRANSFERS', 'EPOCHS=3', 'WRITES=1'], 'a receipt does not bar leading'),
  shard('E2', 'E2_END', ['CLOCK', 'TRANSFERS', ...SMALL], 'a receipt is given and the term goes on'),
  shard('E4', 'E4_UUID', ['WIPES=1', ...SMALL], 'an election of the void without proof of the directory'),
  shard('E5', 'E5_ROUND', ['READS', ...SMALL], 'a read without a lease and without a round'),
  shard('E5', 'E5_AFTER', ['READS', ...SMALL], 'confirmations from before the read arrived count'),
  shard(
    'I-5',
    'BIRTH_PROMISE',
    ['WIPES=1', 'ROLLBACK', ...SMALL],
    'a copy in a directory that was rolled back takes part under its old promise',
  ),
  move('R1', 'R1_FLOOR', 'IN_SYNC falls below min_in_sync'),
  move('R2', 'R2_WHOLE', 'a copy is listed that lacks writes'),
  move('R4', 'R4_ID', 'a replica id is used again'),
  move('R4', 'R4_MATCH', 'a removal does not name its copy'),
  move('S3', 'S3', 'a removal does not check the node epochs of those that it counted'),
  move('I-7', 'I7_FLOOR', 'a removal below the floor'),
  move('E1', 'REMOVE_LEADER', 'a removal of the leader'),
  move('I-9', 'I9_CLAIM', 'an operation takes a shard that another one owns', ['RIVALS']),
  move('I-9', 'I9_TOKEN', 'an effect without the owner token', ['RIVALS']),
  split('S1_RECEIPT', 'a receipt for the child from a leader that has not applied the split'),
  split('S1_LEADER', 'the child is led by another node than the parent'),
  split('S1_BOUNDS', 'a session does not belong to a range'),
  split('S1_HEIRS', 'a write in flight at the fork is acknowledged by the left part alone'),
  split('S1_PREPARED', 'the commit does not wait until every copy is prepared'),
  merge('S2_RECEIPT', 'a merge without seals'),
  merge('S2_SEAL', 'a seal does not wait for the ack set'),
  merge('S2_END', 'a leader goes on after its seal'),
  merge('S2_EPOCH', 'a seal of an older epoch counts'),
  merge('S2_INTERSECTION', 'IN_SYNC of the merged shard is that of one part'),
  merge('S2_JOIN', 'copies are joined wherever they end'),
  pages('S1', 'S1_REVISION', 'a split does not require the revision of its parent'),
  pages('S1', 'S1_ATOMIC', 'parent and child are not one transaction'),
  pages('S4', 'S4_REVISION', 'a moved descriptor is deleted without its revision'),
  pages('S4', 'S4_HEADER', 'a page split does not require its header'),
  pages('S4', 'S4_APPEND', 'an append does not require the header of the last page'),
  pages('S4', 'S4_SPLIT_HEADER', 'a shard split does not require the header of its page'),
  pages('-', 'GENERATION', 'an election does not require the generation'),
];

export interface RedundantGuard extends GuardRun {
  /** Why nothing breaks without it. */
  readonly why: string;
}

/** Guards that may be removed: the search without them must visit all states and find nothing, or this text is wrong. */
export const REDUNDANT: readonly RedundantGuard[] = [
  {
    ...shard(
      'ADR 3',
      'ADR3_ELECTABLE',
      ['WIPES=1', ...SMALL],
      'an empty copy stands in for an entry that can be elected',
    ),
    why: 'a start over an empty directory takes a new node epoch (L4), which makes the entry void before the copy is made',
  },
  {
    ...shard('E4', 'E4_ALL', SMALL, 'an election of the void while an entry is in force'),
    why: 'every listed copy that is intact holds every acknowledged write (R1); the rule prefers leaders that need no proof',
  },
  {
    ...shard('R5', 'R5_OWN', SMALL, 'entries of older terms are committed before the no-op'),
    why: 'unlike with majorities, an entry on the whole ack set is on every copy that may be elected (R1); the no-op tells a new leader where its log is equal',
  },
  {
    ...shard('E5', 'E5_EVERY', ['READS', ...SMALL], 'a majority, not every member, confirms a read without a lease'),
    why: 'with min_in_sync a majority, whoever acknowledges writes elsewhere has a member of every majority in its ack set, which has promised more (R5)',
  },
  {
    ...pages('S1', 'S1_ABSENT', 'the child of a split need not be absent'),
    why: 'ids are not drawn twice, and the parent has its revision',
  },
  {
    ...pages('S4', 'S4_ABSENCE', 'a page split puts descriptors where others are'),
    why: 'what is moved has its revision, and nobody else writes to a page that is being made',
  },
];
