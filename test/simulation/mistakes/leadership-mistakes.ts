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
    name: 'an election takes every fenced copy off the list of those in sync',
    breaks: 'E1',
    setting: 'ordinary',
    changes: [
      {
        file: 'shared/domain/election.ts',
        find: 'if (inSync <= shard.minInSync) break;',
        replace: 'if (inSync <= 1) break;',
      },
    ],
  },
  {
    name: "a new leader's node epoch is looked up at the commit",
    breaks: 'E1',
    setting: 'clean restarts on a slow store',
    changes: [
      {
        file: 'shared/usecases/descriptor-change.ts',
        find: `  const next = decided.value;
  if (next === null) return ok({ kind: 'UNCHANGED', shard: located.shard });
`,
        replace: `  let next = decided.value;
  if (next === null) return ok({ kind: 'UNCHANGED', shard: located.shard });
  if (next.epoch !== located.shard.epoch) {
    const { leader } = next;
    const lease = (await deps.liveness.of([leader.nodeId])).get(leader.nodeId);
    if (lease !== undefined) next = { ...next, leader: { ...leader, nodeEpoch: lease.nodeEpoch } };
  }
`,
      },
    ],
  },
  {
    name: 'a transfer goes to its target, whatever became of it meanwhile',
    breaks: 'E2',
    setting: 'transfers and clean restarts',
    changes: [
      {
        file: 'shared/domain/transfer.ts',
        find: 'const able = shard.replicas.filter((replica) => rejectionOf(replica, view) === null);',
        replace: 'const able = shard.replicas;',
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
];
