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
  {
    type: 'merge-shards',
    folder: 'merge-shards',
    summary: 'Makes one shard of two neighbours: brought to the same nodes, sealed, one commit, the nodes join',
  },
  { type: 'rebalance', folder: 'rebalance', summary: 'Evens out replicas, bytes, load and leaders over the nodes' },
  {
    type: 'drain-node',
    folder: 'drain-node',
    summary: 'Moves everything off a node; a decommissioned one then leaves',
  },
  { type: 'repair-shards', folder: 'repair-shards', summary: 'Makes the replicas of lost nodes anew on others' },
  {
    type: 'change-replication-factor',
    folder: 'change-replication-factor',
    summary: 'Brings every shard of the cluster, or of a table, to another number of copies',
  },
] as const;

export type StateMachineType = (typeof stateMachines)[number]['type'];
