import type { PlantedMistake } from './planted-mistake.ts';

/** Mistakes in splits, merges, moves and pages (rules S1 to S4, I-9), as changes of the modules that keep the rules. */
export const STRUCTURAL_MISTAKES: readonly PlantedMistake[] = [
  {
    name: 'a split commits without copies that are prepared',
    breaks: 'S1',
    setting: 'splits under partitions',
    changes: [
      {
        file: 'state-machines/split-shard/steps.ts',
        find: `  await sendAndWait(
    deps,
    input,
    members.map((member) => draft('prepare_split', shard, member)),
  );
  return ACKNOWLEDGED;`,
        replace: '  return endWait(deps, input, ACKNOWLEDGED);',
      },
    ],
  },
  {
    name: 'the right part of a split begins at the epoch of its parent',
    breaks: 'S1',
    setting: 'operated',
    changes: [
      { file: 'shared/domain/split.ts', find: 'epoch: nextEpoch(shard.epoch),', replace: 'epoch: shard.epoch,' },
      {
        file: 'shared/store/directory-bounds.ts',
        find: 'parent.epoch === shard.epoch && child.epoch === shard.epoch + 1',
        replace: 'parent.epoch === shard.epoch',
      },
    ],
  },
  {
    name: 'every copy of the right part counts as in sync',
    breaks: 'S1',
    setting: 'operated',
    changes: [
      {
        file: 'shared/domain/split.ts',
        find: 'return { ...replica, replicaId: copy };',
        replace: "return { ...replica, replicaId: copy, syncStatus: 'IN_SYNC' as const };",
      },
    ],
  },
  {
    name: 'a split commits its left part before its right part',
    breaks: 'S1',
    setting: 'operated',
    changes: [
      {
        file: 'state-machines/split-shard/commit.ts',
        find: '  await saveOperation(\n',
        replace: `  await deps.records.commit({ writes: change.writes.slice(0, 1), audit: [entryOf(parent)], events: [] });
  await saveOperation(
`,
      },
      {
        file: 'state-machines/split-shard/commit.ts',
        find: 'writes: [...change.writes, ',
        replace: 'writes: [...change.writes.slice(1), ',
      },
      {
        file: 'state-machines/split-shard/commit.ts',
        find: 'audit: [...change.audit, entryOf(parent), entryOf(child)],',
        replace: 'audit: [...change.audit, entryOf(child)],',
      },
    ],
  },
  {
    name: 'a snapshot brings rows from outside of the range of the shard',
    breaks: 'S1',
    setting: 'operated',
    changes: [
      {
        file: 'data-node/engine/transaction.ts',
        find: 'const own = within(range, rangeOf(meta));',
        replace: 'const own: Range | null = range;',
      },
    ],
  },
  {
    name: 'a replication session goes on when the shard has another range',
    breaks: 'S1',
    setting: 'splits that leaders do not hear of',
    changes: [
      {
        file: 'data-node/replication/follower.ts',
        find: '    if (!sameBounds(replica.descriptor(), descriptor)) return boundsMismatch;\n',
        replace: '',
      },
      {
        file: 'data-node/replication/follower.ts',
        find: '    if (replica.isReshaping() || !sameBounds(replica.descriptor(), descriptor)) return boundsMismatch;\n',
        replace: '',
      },
      {
        file: 'data-node/replication/splits.ts',
        find: '    parent.endSession();\n',
        replace: '',
      },
      {
        file: 'data-node/replication/shard-replica.ts',
        find: '  shrunk(descriptor: WireDescriptor): void {\n    this.endSession();\n',
        replace: '  shrunk(descriptor: WireDescriptor): void {\n',
      },
    ],
  },
  {
    name: 'copies are joined by a merge although they do not end where they were sealed',
    breaks: 'S2',
    setting: 'splits that leaders do not hear of',
    changes: [
      {
        file: 'data-node/engine/join.ts',
        find: "return at(left.last, origin.left_end) && at(right.last, origin.right_end) ? null : 'NOT_AT_SEAL';",
        replace: 'return null;',
      },
    ],
  },
  {
    name: 'a merge raises the epoch of its left part alone',
    breaks: 'S2',
    setting: 'operated',
    changes: [
      {
        file: 'shared/domain/merge.ts',
        find: 'epoch: epoch(Math.max(left.epoch, right.epoch) + 1),',
        replace: 'epoch: epoch(left.epoch + 1),',
      },
    ],
  },
  {
    name: 'a removal counts copies on nodes that were fenced',
    breaks: 'S3',
    setting: 'moves and clean restarts',
    changes: [
      {
        file: 'shared/domain/membership.ts',
        find: 'return lease?.nodeEpoch === replica.nodeEpoch && lease.storeUuid === replica.storeUuid;',
        replace: 'return lease !== undefined;',
      },
      {
        file: 'shared/usecases/membership.ts',
        find: 'checks: () => nodeEpochChecks(counted),',
        replace: 'checks: () => nodeEpochChecks(counted.slice(counted.length)),',
      },
    ],
  },
  {
    name: 'a removal does not check in its commit that what it counted still holds',
    breaks: 'S3',
    setting: 'moves and clean restarts',
    changes: [
      {
        file: 'shared/usecases/membership.ts',
        find: 'checks: () => nodeEpochChecks(counted),',
        replace: 'checks: () => nodeEpochChecks(counted.slice(counted.length)),',
      },
    ],
  },
  {
    name: 'a change of a descriptor does not require the generation that it was decided from',
    breaks: 'S4',
    setting: 'operated',
    changes: [
      {
        file: 'shared/store/directory-writes.ts',
        find: `      kind: 'put',
      entity: 'shard',
      id: { page, startKey: shard.startKey },
      value: to,
      when: [
        { kind: 'revision', is: revision },
        { kind: 'equals', field: 'shardId', value: shard.shardId },
        { kind: 'equals', field: 'generation', value: shard.generation },
        { kind: 'equals', field: 'epoch', value: shard.epoch },
      ],`,
        replace: `      kind: 'update',
      entity: 'shard',
      id: { page, startKey: shard.startKey },
      set: to,
      when: [{ kind: 'equals', field: 'shardId', value: shard.shardId }],`,
      },
      // Its audit entry bears the generation as its number, which alone would refuse it (I-16).
      {
        file: 'shared/usecases/descriptor-change.ts',
        find: '          number: next.generation,\n',
        replace: '          number: deps.clock.wallMs(),\n',
      },
    ],
  },
  {
    name: 'a page split moves descriptors whatever became of them since they were read',
    breaks: 'S4',
    setting: 'small pages',
    changes: [
      {
        file: 'shared/store/directory-pages.ts',
        find: `            id: { page: from.page, startKey },
            when: [{ kind: 'revision', is: revision }],`,
        replace: `            id: { page: from.page, startKey },
            when: [],`,
      },
    ],
  },
  {
    name: 'min_in_sync is raised before enough copies are in sync',
    breaks: 'I-7',
    setting: 'copies raised and lowered',
    changes: [
      {
        file: 'shared/domain/membership.ts',
        find: '  if (minInSync > shard.minInSync && inSync < minInSync) return',
        replace: '  if (minInSync > shard.minInSync && inSync < 0) return',
      },
      {
        file: 'state-machines/move-replica/steps.ts',
        find: '  for (const replica of work.state.added) {\n    const leavers',
        replace: `  await changeMinInSync(deps, BY, work.owner, work.input.replicationFactor);
  for (const replica of work.state.added) {\n    const leavers`,
      },
    ],
  },
  {
    name: 'an operation takes a shard that another one owns',
    breaks: 'I-9',
    setting: 'operated',
    changes: [
      {
        file: 'shared/domain/ownership.ts',
        find: "  if (present.kind === 'ACTIVE') {\n",
        replace: "  if (present.kind === 'ACTIVE' || present.operationId !== state.operationId) {\n",
      },
      {
        file: 'shared/usecases/descriptor-change.ts',
        find: "  return [{ kind: 'put', entity: 'ownedShard', value, when: [{ kind: 'absent' }] }];",
        replace: `  return ownerOf(from) === null
    ? [{ kind: 'put', entity: 'ownedShard', value, when: [{ kind: 'absent' }] }]
    : [{ kind: 'update', entity: 'ownedShard', id: { shardId }, set: value, when: [] }];`,
      },
    ],
  },
  {
    name: "a move waits for as many copies in sync as its table's factor asks for, though it found fewer",
    breaks: 'I-7',
    setting: 'factors and drains',
    changes: [
      {
        file: 'shared/usecases/move-replica.ts',
        find: '  Math.min(replicationFactor, seen.length + add.length - remove.length);',
        replace: '  Math.max(replicationFactor, seen.length - add.length - remove.length);',
      },
    ],
  },
  {
    name: 'nobody gives back the shard of a split that was undone',
    breaks: 'I-10',
    setting: 'operated',
    changes: [
      {
        file: 'state-machines/split-shard/steps.ts',
        find: 'const released = await releaseShard(deps, BY, work.shardId, input.operationId);',
        replace: 'const released: Awaited<ReturnType<typeof releaseShard>> = { ok: true, value: null };',
      },
      {
        file: 'shared/usecases/shard-ownership.ts',
        find: '  if (ownerEnded) {\n',
        replace: '  if (ownerEnded && shardId.length === 0) {\n',
      },
    ],
  },
  {
    name: 'a commit leaves out its first audit entry',
    breaks: 'I-16',
    setting: 'ordinary',
    changes: [
      {
        file: 'shared/store/records.ts',
        find: '...change.audit.map((entry): RecordWrite => {',
        replace: '...change.audit.slice(1).map((entry): RecordWrite => {',
      },
    ],
  },
];
