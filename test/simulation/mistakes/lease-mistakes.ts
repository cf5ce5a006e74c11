import type { PlantedMistake } from './planted-mistake.ts';

/** Mistakes in liveness (rules L1 to L5), as changes of the modules that keep the rules. */
export const LEASE_MISTAKES: readonly PlantedMistake[] = [
  {
    name: 'a renewal asks neither for the node epoch nor for the incarnation',
    breaks: 'L1',
    setting: 'ordinary',
    changes: [
      {
        file: 'shared/usecases/heartbeat.ts',
        find: `      { kind: 'equals', field: 'nodeEpoch', value: beat.node_epoch },
      { kind: 'equals', field: 'incarnation', value: beat.incarnation },
`,
        replace: '',
      },
    ],
  },
  {
    name: 'a renewal needs no higher sequence',
    breaks: 'L1',
    setting: 'ordinary',
    changes: [
      {
        file: 'shared/usecases/heartbeat.ts',
        find: `      { kind: 'below', field: 'sequence', value: beat.sequence },
`,
        replace: '',
      },
    ],
  },
  {
    name: 'a detector loop that has just begun takes a lease for half over',
    breaks: 'L2',
    setting: 'ordinary',
    changes: [
      {
        file: 'shared/domain/detector.ts',
        find: 'sinceMs: continues ? seen.sinceMs : readAnsweredMs,',
        replace: 'sinceMs: continues ? seen.sinceMs : readAnsweredMs - profile.leaseMs / 2,',
      },
    ],
  },
  {
    name: 'a sequence that moved does not begin the observation anew',
    breaks: 'L2',
    setting: 'ordinary',
    changes: [{ file: 'shared/domain/detector.ts', find: '      seen.sequence === item.sequence &&\n', replace: '' }],
  },
  {
    name: 'the detector fences at the end of the lease, without the bound',
    breaks: 'L2',
    setting: 'clocks at their bounds',
    changes: [
      {
        file: 'shared/domain/detector.ts',
        find: 'LEASE_PROFILES[item.profile].leaseMs + DRIFT_BOUND_MS',
        replace: 'LEASE_PROFILES[item.profile].leaseMs',
      },
    ],
  },
  {
    name: 'after a gap in its own reads the detector goes on with what it saw before',
    breaks: 'L2',
    setting: 'store outage of a small cluster',
    changes: [
      {
        file: 'shared/domain/detector.ts',
        find: ` &&
      readAnsweredMs - seen.lastReadMs <= gapMaxMs`,
        replace: '',
      },
    ],
  },
  {
    name: 'a node serves to the end of its lease, without the bound',
    breaks: 'L3',
    setting: 'clocks at their bounds',
    changes: [
      {
        file: 'data-node/agent/lease.ts',
        find: 'Math.max(0, terms.leaseMs - terms.driftBoundMs)',
        replace: 'terms.leaseMs',
      },
    ],
  },
  {
    name: 'a lease counts from the answer, not from the first send',
    breaks: 'L3',
    setting: 'late answers, clocks at their bounds',
    changes: [
      {
        file: 'data-node/agent/agent.ts',
        find: 'session.acknowledged(answer.sequence);',
        replace: 'session.acknowledged(answer.sequence, this.options.environment.clock.monotonicMs());',
      },
      {
        file: 'data-node/agent/session.ts',
        find: `acknowledged(sequence: number): void {
    this.lease = sequenceAcknowledged(this.lease, sequence);`,
        replace: `acknowledged(sequence: number, nowMs: number): void {
    this.lease = sequenceAcknowledged(this.lease, sequence, nowMs);`,
      },
      {
        file: 'data-node/agent/lease.ts',
        find: `sequenceAcknowledged(lease: LeaseState, sequence: number): LeaseState {
  const sentAtMs = lease.firstSentAtMs.get(sequence);
  if (sentAtMs === undefined) return lease;`,
        replace: `sequenceAcknowledged(lease: LeaseState, sequence: number, sentAtMs: number): LeaseState {
  if (!lease.firstSentAtMs.has(sequence)) return lease;`,
      },
    ],
  },
  {
    name: 'a beat is answered although the store did not take it',
    breaks: 'L3',
    setting: 'contended store',
    changes: [
      {
        file: 'shared/usecases/heartbeat.ts',
        find: 'const renewed = await renewLease(deps, id, body);',
        replace: `const renewed = await renewLease(deps, id, body).catch(() =>
    ok({ nodeEpoch: nodeEpoch(body.node_epoch), sequence: body.sequence, mail: 0 }),
  );`,
      },
    ],
  },
  {
    name: 'a registration does not wait for the end of the old lease',
    breaks: 'L4',
    setting: 'ordinary',
    changes: [
      {
        file: 'shared/domain/registration.ts',
        find: 'if (!leaseIsOver(liveness)) {',
        replace: 'if (liveness.nodeEpoch < 0) {',
      },
    ],
  },
  {
    name: 'a new incarnation goes on under the old node epoch',
    breaks: 'L4',
    setting: 'ordinary',
    changes: [
      {
        file: 'shared/domain/registration.ts',
        find: 'nodeEpoch: nextNodeEpoch(liveness.nodeEpoch), attestation: presented',
        replace: 'nodeEpoch: liveness.nodeEpoch, attestation: presented',
      },
      // Its audit entry bears the node epoch as its number, which alone would refuse it (I-16).
      {
        file: 'shared/usecases/register-node.ts',
        find: `      number: decision.value.nodeEpoch,
      action: 'NODE_REGISTERED',`,
        replace: `      number: nowMs,
      action: 'NODE_REGISTERED',`,
      },
    ],
  },
  {
    name: 'a directory that was rolled back registers as the present one',
    breaks: 'L4',
    setting: 'power losses with an old directory',
    changes: [
      {
        file: 'shared/domain/registration.ts',
        find: '} else if (presented < liveness.attestation) {',
        replace: '} else if (presented < 0) {',
      },
    ],
  },
  {
    name: 'a node gives its lease up and serves on for a second',
    breaks: 'L4',
    setting: 'clean stops',
    changes: [
      {
        file: 'data-node/agent/agent.ts',
        find: '    await this.host?.close();\n',
        replace: `    if (this.session !== null) await this.release(this.session);
    await this.options.environment.timers.sleep(1_000);
    await this.host?.close();
`,
      },
    ],
  },
  {
    name: 'the brake never trips',
    breaks: 'L5',
    setting: 'many nodes lost at once',
    changes: [
      {
        file: 'shared/domain/brake.ts',
        find: 'lost >= Math.max(LOST_NODES_MIN, LOST_SHARE * total) &&',
        replace: 'lost > total &&',
      },
    ],
  },
];
