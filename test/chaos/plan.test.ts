import { DRIFT_BOUND_MS, LEASE_PROFILES } from '../../shared/domain/lease.ts';
import { seededRandom } from '../simulation/random.ts';
import { LEASE, NODES } from './cluster.ts';
import { FAULT_KINDS, plannedFaults } from './plan.ts';
import type { PlannedFault } from './plan.ts';

function first(count: number, seed: number): PlannedFault[] {
  const plan = plannedFaults(seededRandom(seed), NODES);
  return Array.from({ length: count }, () => plan.next().value);
}

test('the seed alone decides', () => {
  expect(first(40, 7)).toEqual(first(40, 7));
  expect(first(40, 7)).not.toEqual(first(40, 8));
});

test('every kind of fault comes again and again', () => {
  const faults = first(180, 1);
  for (const kind of FAULT_KINDS)
    expect(faults.filter((fault) => fault.kind === kind).length).toBeGreaterThanOrEqual(8);
});

test('what freezes, freezes for longer than a lease and the bound of clocks', () => {
  const frozen = first(180, 2).filter(({ kind }) => kind.startsWith('freeze'));
  expect(frozen.length).toBeGreaterThan(10);
  for (const { lastsMs } of frozen) expect(lastsMs).toBeGreaterThan(LEASE_PROFILES[LEASE].leaseMs + DRIFT_BOUND_MS);
});
