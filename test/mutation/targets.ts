/** What is mutated, and for each file the tests that must notice: those whose subject it is, so that a mutant takes a second and not minutes. */
export interface MutationTarget {
  readonly name: string;
  /** Tests by file. */
  readonly files: Readonly<Record<string, readonly string[]>>;
}

/** Of what is decided about leases: the files call each other. */
const LEASE_TESTS = [
  'test/domain/lease.test.ts',
  'test/domain/detector.test.ts',
  'test/domain/liveness-pack.test.ts',
  'test/domain/registration.test.ts',
  'test/domain/brake.test.ts',
];

/** Of what readers of the directory are answered with. */
const DIRECTORY_READS = [
  'test/store/directory-reads.test.ts',
  'test/store/directory-reads-meanwhile.test.ts',
  'test/store/directory.test.ts',
];

export const mutationTargets: readonly MutationTarget[] = [
  { name: 'election', files: { 'shared/domain/election.ts': ['test/domain/election.test.ts'] } },
  {
    name: 'lease',
    files: {
      'shared/domain/lease.ts': LEASE_TESTS,
      'shared/domain/detector.ts': LEASE_TESTS,
      'shared/domain/liveness-pack.ts': LEASE_TESTS,
      'shared/domain/registration.ts': LEASE_TESTS,
      'shared/domain/brake.ts': LEASE_TESTS,
    },
  },
  { name: 'placement', files: { 'shared/domain/placement.ts': ['test/domain/placement.test.ts'] } },
  {
    // What splits and merges at random show besides (directory-random) takes too long for each mutant.
    name: 'directory',
    files: {
      'shared/store/directory.ts': DIRECTORY_READS,
      'shared/store/directory-append.ts': [
        'test/store/directory-append.test.ts',
        'test/store/directory-upkeep.test.ts',
      ],
      'shared/store/directory-bounds.ts': [
        'test/store/directory-bounds-writes.test.ts',
        'test/store/directory-bounds.test.ts',
      ],
      'shared/store/directory-lookup.ts': DIRECTORY_READS,
      'shared/store/directory-pages.ts': ['test/store/directory-pages.test.ts', 'test/store/directory.test.ts'],
      'shared/store/directory-remove.ts': [
        'test/store/directory-append.test.ts',
        'test/store/directory-upkeep.test.ts',
      ],
      'shared/store/directory-root.ts': ['test/store/directory-root.test.ts'],
      'shared/store/directory-writes.ts': ['test/store/directory-upkeep.test.ts'],
    },
  },
  {
    // Who a caller is, at the control plane and at a data node, and for which calls its kind is let in. There are no roles yet.
    name: 'access',
    files: {
      'shared/runtime/authenticate.ts': ['test/runtime/authenticate.test.ts'],
      'shared/runtime/authorizer.ts': ['test/runtime/authorizer.test.ts'],
      'shared/runtime/principal.ts': ['test/runtime/principal.test.ts'],
      'shared/adapters/token-authority.ts': [
        'test/runtime/token-authority.test.ts',
        'test/runtime/tokens.test.ts',
        'test/runtime/certificates.test.ts',
      ],
      'shared/adapters/verified-tokens.ts': ['test/runtime/verified-tokens.test.ts'],
      'shared/adapters/certificate-verifier.ts': ['test/runtime/certificate-verifier.test.ts'],
      'shared/adapters/process-keys.ts': ['test/runtime/process-keys.test.ts'],
      'shared/domain/bounded-map.ts': ['test/domain/bounded-map.test.ts'],
      'data-node/agent/token-verifier.ts': ['test/data-node/agent/token-verifier.test.ts'],
      'data-node/agent/certificates.ts': ['test/data-node/agent/certificates.test.ts'],
    },
  },
];
