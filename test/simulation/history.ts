/** What clients of a run saw is checked like every history of clients. */
export { checkRegister } from '../history/linearizability.ts';
export type { RegisterOperation } from '../history/operations.ts';
