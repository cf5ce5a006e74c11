import { LEADERSHIP_MISTAKES } from './leadership-mistakes.ts';
import { LEASE_MISTAKES } from './lease-mistakes.ts';
import type { PlantedMistake } from './planted-mistake.ts';
import { PORT_MISTAKES } from './port-mistakes.ts';
import { REPLICATION_MISTAKES } from './replication-mistakes.ts';
import { STRUCTURAL_MISTAKES } from './structural-mistakes.ts';

/** Every mistake that the simulation has to find, by the order of the rules that they break. */
export const MISTAKES: readonly PlantedMistake[] = [
  ...LEASE_MISTAKES,
  ...REPLICATION_MISTAKES,
  ...LEADERSHIP_MISTAKES,
  ...STRUCTURAL_MISTAKES,
  ...PORT_MISTAKES,
].toSorted((one, other) => orderOf(one.breaks) - orderOf(other.breaks));

/** Rules in the order of docs/protocol.md: L, R, E, S, then invariants. */
function orderOf(rule: string): number {
  const group = ['L', 'R', 'E', 'S', 'I'].indexOf(rule.charAt(0));
  return group * 100 + Number(rule.replace(/\D/g, ''));
}
