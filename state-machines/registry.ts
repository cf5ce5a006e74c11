/** Every operation of the control plane, as data: one folder each, holding `<type>.asl.json` beside `steps.ts`. */
export const stateMachines = [
  {
    type: 'create-table',
    folder: 'create-table',
    summary: 'Places shards, builds the directory, provisions replicas, starts leaders',
  },
  { type: 'delete-table', folder: 'delete-table', summary: 'Removes replicas from their nodes, then the directory' },
  {
    type: 'move-replica',
    folder: 'move-replica',
    summary: 'Adds replicas to a shard and removes others: a move, a repair, a change of the replication factor',
  },
  {
    type: 'split-shard',
    folder: 'split-shard',
    summary: 'Divides a shard in two: every copy prepares, one commit, the nodes fork',
  },
] as const;

export type StateMachineType = (typeof stateMachines)[number]['type'];
