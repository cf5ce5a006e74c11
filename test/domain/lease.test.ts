import { DRIFT_BOUND_MS, LEASE_PROFILES } from '../../shared/domain/lease.ts';

describe('lease profiles', () => {
  test('are the three of the design', () => {
    expect(LEASE_PROFILES).toEqual({
      fast: { name: 'fast', renewMs: 1_000, leaseMs: 3_000 },
      standard: { name: 'standard', renewMs: 3_000, leaseMs: 9_000 },
      economy: { name: 'economy', renewMs: 10_000, leaseMs: 30_000 },
    });
  });

  test.each(Object.values(LEASE_PROFILES))(
    '$name: two renewals may be lost, and a node stops a drift bound before, a detector fences one after (L2, L3)',
    ({ renewMs, leaseMs }) => {
      expect(2 * renewMs + DRIFT_BOUND_MS).toBeLessThan(leaseMs);
    },
  );
});
