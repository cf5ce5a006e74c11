import type { PlantedMistake } from './planted-mistake.ts';

/** Mistakes in elections and transfers (rules E1 to E4), as changes of the modules that keep the rules. */
export const LEADERSHIP_MISTAKES: readonly PlantedMistake[] = [
  {
    name: 'a leader is elected without a fence of the old one',
    breaks: 'E1',
    setting: 'ordinary',
    changes: [
      {
        file: 'shared/domain/election.ts',
        find: 'return liveness !== undefined && liveness.nodeEpoch > shard.leader.nodeEpoch;',
        replace: 'return liveness !== undefined;',
      },
    ],
  },
  {
    name: 'the node epoch of a new leader is looked up at the commit',
    breaks: 'E1',
    setting: 'two deaths at a time',
    changes: [
      {
        file: 'shared/usecases/fail-over.ts',
        find: `    (present) =>
      journal.elect(present, view, {
        leadersOn: (nodeId) => leadersOn.get(nodeId) ?? 0,
        random: () => deps.random.next(),
        nowMs: deps.clock.wallMs(),
      }),`,
        replace: `    async (present) => {
      const elected = journal.elect(present, view, {
        leadersOn: (nodeId) => leadersOn.get(nodeId) ?? 0,
        random: () => deps.random.next(),
        nowMs: deps.clock.wallMs(),
      });
      if (!elected.ok || elected.value === null) return elected;
      const { leader } = elected.value;
      const nodeEpoch = (await readLiveness(deps, [leader.nodeId])).get(leader.nodeId)?.nodeEpoch ?? leader.nodeEpoch;
      return ok({ ...elected.value, leader: { ...leader, nodeEpoch } });
    },`,
      },
    ],
  },
  {
    name: 'a term goes on under the next registration of its node',
    breaks: 'E1',
    setting: 'partitions',
    changes: [
      {
        file: 'data-node/replication/shard-host.ts',
        find: '    for (const replica of this.replicas.values()) replica.voidSessions();\n',
        replace: '',
      },
      {
        file: 'data-node/replication/leadership.ts',
        find: 'registration?.nodeEpoch === this.nodeEpoch && this.context.lease.held();',
        replace: 'registration !== null && this.context.lease.held();',
      },
      {
        file: 'data-node/replication/leadership.ts',
        find: 'this.context.lease.registration()?.nodeEpoch === this.nodeEpoch;',
        replace: 'this.context.lease.registration() !== null;',
      },
    ],
  },
  {
    name: 'a transfer does not wait for the receipt',
    breaks: 'E2',
    setting: 'operated',
    changes: [
      {
        file: 'shared/usecases/transfer-leader.ts',
        find: "  if (answer === undefined || answer.outcome !== 'DONE' || answer.receipt === null) return shard;\n",
        replace: '',
      },
      {
        file: 'shared/usecases/transfer-leader.ts',
        find: '    ...answer.receipt,\n',
        replace: '    epoch: shard.epoch,\n    generation: shard.generation,\n',
      },
    ],
  },
  {
    name: 'a leader serves on after its receipt',
    breaks: 'E2',
    setting: 'partitions, operated',
    changes: [
      {
        file: 'data-node/replication/shard-replica.ts',
        find: '    if (leadership !== null && leadership.epoch <= epoch) await leadership.stepDown();\n',
        replace: '',
      },
    ],
  },
  {
    name: 'a fence is closed after two sweeps, whatever they found',
    breaks: 'E3',
    setting: 'ordinary',
    changes: [
      {
        file: 'shared/usecases/fail-over.ts',
        find: 'const cleanSweeps = clean ? open.cleanSweeps + 1 : 0;',
        replace: 'const cleanSweeps = open.cleanSweeps + (clean ? 1 : 1);',
      },
    ],
  },
  {
    name: 'from the void any listed copy is elected, in sync or not',
    breaks: 'E4',
    setting: 'power losses',
    changes: [
      {
        file: 'shared/domain/election.ts',
        find: 'const entry = inSyncReplicas(shard).find((replica) => replica.replicaId === proof.replicaId);',
        replace: 'const entry = shard.replicas.find((replica) => replica.replicaId === proof.replicaId);',
      },
    ],
  },
  {
    name: 'from the void a copy is elected although another entry is not void',
    breaks: 'E4',
    setting: 'two deaths at a time',
    changes: [
      {
        file: 'shared/domain/election.ts',
        find: '  return inSyncReplicas(shard).every((replica) => {',
        replace: '  return inSyncReplicas(shard).some((replica) => {',
      },
    ],
  },
];
