import { decideRegistration } from '../../shared/domain/registration.ts';
import { incarnation, nodeEpoch, storeUuid } from '../../shared/domain/ids.ts';
import type { LivenessRecord } from '../../shared/domain/lease.ts';
import type { NodeRecord } from '../../shared/domain/records.ts';
import { aLease } from '../support/shards.ts';

const request = (over: { incarnation?: string; storeUuid?: string; nodeEpoch?: number; counter?: number } = {}) => ({
  incarnation: incarnation(over.incarnation ?? 'inc-new'),
  storeUuid: storeUuid(over.storeUuid ?? 'store-1'),
  attestation: { nodeEpoch: nodeEpoch(over.nodeEpoch ?? 1), counter: over.counter ?? 1 },
});

describe('registration is a fence (L4)', () => {
  test('a node new to the cluster starts at node epoch 1', () => {
    expect(decideRegistration(null, null, request())).toEqual({
      ok: true,
      value: { kind: 'REGISTER', nodeEpoch: 1, attestation: 1 },
    });
  });

  const over: [string, Partial<LivenessRecord>][] = [
    ['fenced and never held since', { nodeEpoch: nodeEpoch(2), incarnation: null, sequence: 0 }],
    ['given up by its incarnation', { released: true }],
    ['observed expired at this very sequence', { sequence: 7, expired: { nodeEpoch: nodeEpoch(1), sequence: 7 } }],
  ];
  test.each(over)('a lease that is %s yields to a new incarnation, one node epoch higher', (_what, state) => {
    const lease = aLease(1, state);
    expect(decideRegistration(null, lease, request())).toEqual({
      ok: true,
      value: { kind: 'REGISTER', nodeEpoch: lease.nodeEpoch + 1, attestation: 1 },
    });
  });

  const alive: [string, Partial<LivenessRecord>][] = [
    ['held', {}],
    ['renewed after it was marked expired', { sequence: 8, expired: { nodeEpoch: nodeEpoch(1), sequence: 7 } }],
    [
      'marked expired under an older node epoch',
      { nodeEpoch: nodeEpoch(2), sequence: 7, expired: { nodeEpoch: nodeEpoch(1), sequence: 7 } },
    ],
  ];
  test.each(alive)('a lease that is %s refuses another incarnation for lease + bound', (_what, state) => {
    expect(decideRegistration(null, aLease(1, state), request())).toEqual({
      ok: false,
      error: { code: 'NODE_ALIVE', retryAfterMs: 3_500 },
    });
  });

  test('a decommissioned id is not used again, whatever its lease says', () => {
    const node = { membership: 'DECOMMISSIONED' } as NodeRecord;
    for (const lease of [null, aLease(1, { released: true })]) {
      expect(decideRegistration(node, lease, request())).toEqual({
        ok: false,
        error: { code: 'NODE_DECOMMISSIONED' },
      });
    }
    const leaving = { membership: 'DECOMMISSIONING' } as NodeRecord;
    expect(decideRegistration(leaving, aLease(1, { released: true }), request()).ok).toBe(true);
  });

  test('without an attestation nothing was attested', () => {
    const unattested = { ...request(), attestation: null };
    expect(decideRegistration(null, null, unattested)).toMatchObject({ value: { attestation: 0 } });
    const fresh = aLease(1, { released: true, attestation: 0 });
    expect(decideRegistration(null, fresh, unattested)).toMatchObject({ value: { nodeEpoch: 2, attestation: 0 } });
    expect(decideRegistration(null, aLease(1, { released: true }), unattested)).toEqual({
      ok: false,
      error: { code: 'STORE_ROLLED_BACK', attested: 1, presented: 0 },
    });
  });

  test('an incarnation that gave its lease up is not the one in force: it registers anew', () => {
    const released = aLease(1, { released: true });
    expect(decideRegistration(null, released, request({ incarnation: 'inc-1' }))).toMatchObject({
      value: { kind: 'REGISTER', nodeEpoch: 2 },
    });
  });

  test('the node epoch that is in force is one that was given out', () => {
    const lease = aLease(1, { nodeEpoch: nodeEpoch(5), released: true });
    expect(decideRegistration(null, lease, request({ nodeEpoch: 5 })).ok).toBe(true);
    expect(decideRegistration(null, lease, request({ nodeEpoch: 6 })).ok).toBe(false);
  });

  test('the same incarnation again is the same registration: its answer was lost', () => {
    expect(decideRegistration(null, aLease(1), request({ incarnation: 'inc-1' }))).toEqual({
      ok: true,
      value: { kind: 'REPEATED', nodeEpoch: 1 },
    });
  });

  test('a directory behind what it attested was rolled back; a new directory starts anew', () => {
    const lease = aLease(1, { released: true, attestation: 90 });
    expect(decideRegistration(null, lease, request({ counter: 89 }))).toEqual({
      ok: false,
      error: { code: 'STORE_ROLLED_BACK', attested: 90, presented: 89 },
    });
    expect(decideRegistration(null, lease, request({ counter: 90 })).ok).toBe(true);
    const wiped = { ...request({ storeUuid: 'store-wiped' }), attestation: null };
    expect(decideRegistration(null, lease, wiped).ok).toBe(true);
  });

  test('a directory that another one replaced does not come back: nobody knows any more what it attested', () => {
    const lease = aLease(1, {
      nodeEpoch: nodeEpoch(3),
      released: true,
      storeUuid: storeUuid('store-new'),
      attestation: 2,
    });
    expect(decideRegistration(null, lease, request({ counter: 20 }))).toEqual({
      ok: false,
      error: { code: 'STORE_REPLACED', storeUuid: 'store-new' },
    });
  });

  test('a directory that knows a node epoch which was never given out belongs elsewhere', () => {
    expect(decideRegistration(null, aLease(1, { released: true }), request({ nodeEpoch: 5 }))).toEqual({
      ok: false,
      error: { code: 'STORE_MISMATCH', presentedNodeEpoch: 5, nodeEpoch: 1 },
    });
  });
});
