/** Every operation of the control plane, as data: one folder each, holding `<type>.asl.json` beside `steps.ts`. */
export const stateMachines = [
  {
    type: 'create-table',
    folder: 'create-table',
    summary: 'Places shards, builds the directory, provisions replicas, starts leaders',
  },
  { type: 'delete-table', folder: 'delete-table', summary: 'Removes replicas from their nodes, then the directory' },
] as const;

export type StateMachineType = (typeof stateMachines)[number]['type'];
