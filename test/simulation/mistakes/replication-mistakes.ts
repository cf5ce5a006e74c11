import type { PlantedMistake } from './planted-mistake.ts';

/** Mistakes in replication and in the IN_SYNC set (rules R1 to R6, E5), as changes of the modules that keep the rules. */
export const REPLICATION_MISTAKES: readonly PlantedMistake[] = [
  {
    name: 'a leader acknowledges what its own disk holds',
    breaks: 'R1',
    setting: 'partitions',
    changes: [
      {
        file: 'data-node/replication/leadership.ts',
        find: 'this.acknowledge(ackedSeq);',
        replace: 'this.acknowledge(this.durableSeq);',
      },
    ],
  },
  {
    name: 'a leader leaves a silent member out of its ack set by itself',
    breaks: 'R1',
    setting: 'partitions',
    changes: [
      {
        file: 'data-node/replication/leadership.ts',
        find: 'const { ackedSeq, members } = ackState(this.durableSeq, this.links.values());',
        replace: `const answering = [...this.links.values()].filter(
      (link) => this.context.env.clock.monotonicMs() - link.lastCaughtUpMs < this.context.tuning.ackTimeoutMs,
    );
    const { ackedSeq, members } = ackState(this.durableSeq, answering);`,
      },
    ],
  },
  {
    name: 'shrinkage takes effect at the leader before it is in the store',
    breaks: 'R1',
    setting: 'partitions',
    changes: [
      {
        file: 'data-node/replication/leader-reports.ts',
        find: "    if (status === 'IN_SYNC') {\n      link.proposedAs",
        replace:
          "    if (status !== 'IN_SYNC') link.required = false;\n    if (status === 'IN_SYNC') {\n      link.proposedAs",
      },
    ],
  },
  {
    name: 'the IN_SYNC list shrinks below min_in_sync',
    breaks: 'R1',
    setting: 'ordinary',
    changes: [
      {
        file: 'shared/domain/replication.ts',
        find: "if (replica.syncStatus === 'IN_SYNC' && inSync - 1 < shard.minInSync) {",
        replace: 'if (inSync === 0) {',
      },
    ],
  },
  {
    name: 'a replica is proposed IN_SYNC before it is required',
    breaks: 'R2',
    setting: 'answers lost',
    changes: [
      {
        file: 'data-node/replication/proposals.ts',
        find: `    if (!link.required && link.matchSeq > 0 && lastSeq - link.matchSeq <= tuning.growthLagEntriesMax)
      beginGrowth(link, lastSeq);`,
        replace: `    if (!link.required && link.matchSeq > 0 && lastSeq - link.matchSeq <= tuning.growthLagEntriesMax)
      return proposal(descriptor, link, 'IN_SYNC', session.nodeEpoch, session.storeUuid);`,
      },
    ],
  },
  {
    name: 'a proposal whose outcome is unknown counts as never made',
    breaks: 'R2',
    setting: 'answers lost',
    changes: [
      {
        file: 'data-node/replication/leader-reports.ts',
        find: "if (status === 'IN_SYNC') proposalUnknown(link);",
        replace: `if (status === 'IN_SYNC') {
        link.proposal = null;
        link.growthTargetSeq = null;
        link.required = false;
      }`,
      },
    ],
  },
  {
    name: 'a proposal is applied under a later generation',
    breaks: 'R2',
    setting: 'requests repeated late',
    changes: [
      {
        file: 'shared/domain/replication.ts',
        find: "  if (proposal.generation !== shard.generation) return err({ code: 'GENERATION_STALE' });\n",
        replace: '',
      },
    ],
  },
  {
    name: 'a leader never proposes LAGGING',
    breaks: 'R3',
    setting: 'a follower cut off from its leader',
    changes: [
      {
        file: 'data-node/replication/proposals.ts',
        find: 'if (dead !== undefined && listed > descriptor.min_in_sync) {',
        replace: 'if (dead !== undefined && listed < 0) {',
      },
    ],
  },
  {
    name: 'a leader that reaches no follower keeps its shard',
    breaks: 'R3',
    setting: 'a leader cut off from its followers',
    changes: [
      { file: 'shared/usecases/reports.ts', find: '  if (stuck) {', replace: '  if (stuck && one.epoch < 0) {' },
    ],
  },
  {
    name: 'a new leader serves before its no-op is committed',
    breaks: 'R5',
    setting: 'ordinary',
    changes: [
      {
        file: 'data-node/replication/leadership.ts',
        find: `    this.committed = taken.value.commitSeq;
    this.connect();`,
        replace: `    this.committed = taken.value.commitSeq;
    this.phase = 'SERVING';
    this.announce('SERVING');
    this.connect();`,
      },
    ],
  },
  {
    name: 'reads return what is not yet committed',
    breaks: 'R5',
    setting: 'partitions',
    changes: [
      {
        file: 'data-node/replication/data-access.ts',
        find: 'encoded.value, leadership.commitSeq());',
        replace: 'encoded.value, meta.last.seq);',
      },
    ],
  },
  {
    name: 'a follower keeps entries that its leader does not have',
    breaks: 'R5',
    setting: 'partitions',
    changes: [
      {
        file: 'data-node/replication/follower.ts',
        find: 'const prevEpoch = prev.seq < meta.base.seq ? prev.epoch : tx.epochAt(meta, prev.seq);',
        replace: 'const prevEpoch: number | null = prev.epoch;',
      },
      {
        file: 'data-node/replication/follower.ts',
        find: 'if (entry.seq > meta.base.seq && tx.epochAt(meta, entry.seq) !== entry.epoch) {',
        replace: 'if (entry.seq < 0) {',
      },
    ],
  },
  {
    name: 'a follower takes entries of an epoch below the one that it promised',
    breaks: 'R5',
    setting: 'splits under partitions',
    changes: [
      {
        file: 'data-node/replication/follower.ts',
        find: '    if (epoch < replica.promisedEpoch()) return staleEpoch(replica);\n',
        replace: '',
      },
      {
        file: 'data-node/replication/follower.ts',
        find: `      if (meta?.replicaId !== replica_id || meta.maxEpoch > epoch) return null;
      return meta.maxEpoch === epoch ? meta`,
        replace: `      if (meta?.replicaId !== replica_id) return null;
      return meta.maxEpoch >= epoch ? meta`,
      },
      {
        file: 'data-node/replication/follower.ts',
        find: '    if (request.epoch < replica.promisedEpoch()) return staleEpoch(replica);\n',
        replace: '',
      },
      {
        file: 'data-node/replication/follower.ts',
        find: `  if (meta.maxEpoch > epoch)
    return { code: 'STALE_EPOCH', message: 'a higher epoch was promised', maxEpoch: meta.maxEpoch };
`,
        replace: '',
      },
    ],
  },
  {
    name: 'a write that is sent again is written again',
    breaks: 'R6',
    setting: 'ordinary',
    changes: [
      {
        file: 'data-node/replication/leader-log.ts',
        find: 'const known = tx.write(meta, write.writeId);',
        replace: 'const known = undefined as ReturnType<typeof tx.write>;',
      },
    ],
  },
  {
    name: 'a node does not ask for the descriptor when a client knows a newer epoch',
    breaks: 'R6',
    setting: 'failover without push',
    changes: [
      {
        file: 'data-node/replication/data-access.ts',
        find: '      this.context.refresh(request.shard_id);\n',
        replace: '',
      },
    ],
  },
  {
    name: 'a leader without a lease reads without asking its followers',
    breaks: 'E5',
    setting: 'store outage with a node cut off',
    changes: [
      {
        file: 'data-node/replication/data-access.ts',
        find: 'leadership.entitled() ? null : await leadership.confirmed();',
        replace: 'leadership.entitled() ? null : this.context.env.clock.monotonicMs();',
      },
    ],
  },
  {
    name: 'a leader without a lease leaves out members that do not answer',
    breaks: 'E5',
    setting: 'store outage with a node cut off',
    changes: [
      {
        file: 'data-node/replication/leadership.ts',
        find: 'const { ackedSeq, members } = ackState(this.durableSeq, this.links.values());',
        replace: `const answering = [...this.links.values()].filter(
      (link) =>
        this.entitled() ||
        this.context.env.clock.monotonicMs() - link.lastCaughtUpMs < this.context.tuning.ackTimeoutMs,
    );
    const { ackedSeq } = ackState(this.durableSeq, answering);
    const { members } = ackState(this.durableSeq, this.links.values());`,
      },
      {
        file: 'data-node/replication/leadership.ts',
        find: 'this.rounds.confirm(this.links.values(), nowMs);',
        replace: 'this.rounds.confirm(answering, nowMs);',
      },
    ],
  },
];
