/** What is mutated, and the tests that must notice: those whose subject the file is, so that a mutant takes a second and not minutes. */
export interface MutationTarget {
  readonly name: string;
  readonly files: readonly string[];
  readonly tests: readonly string[];
}

export const mutationTargets: readonly MutationTarget[] = [
  { name: 'election', files: ['shared/domain/election.ts'], tests: ['test/domain/election.test.ts'] },
  {
    name: 'lease',
    files: [
      'shared/domain/lease.ts',
      'shared/domain/detector.ts',
      'shared/domain/liveness-pack.ts',
      'shared/domain/registration.ts',
      'shared/domain/brake.ts',
    ],
    tests: [
      'test/domain/lease.test.ts',
      'test/domain/detector.test.ts',
      'test/domain/liveness-pack.test.ts',
      'test/domain/registration.test.ts',
      'test/domain/brake.test.ts',
    ],
  },
  { name: 'placement', files: ['shared/domain/placement.ts'], tests: ['test/domain/placement.test.ts'] },
  {
    name: 'directory',
    files: [
      'shared/store/directory.ts',
      'shared/store/directory-append.ts',
      'shared/store/directory-bounds.ts',
      'shared/store/directory-lookup.ts',
      'shared/store/directory-pages.ts',
      'shared/store/directory-remove.ts',
      'shared/store/directory-root.ts',
      'shared/store/directory-writes.ts',
    ],
    tests: [
      'test/store/directory.test.ts',
      'test/store/directory-bounds.test.ts',
      'test/store/directory-upkeep.test.ts',
    ],
  },
  {
    // Who a caller is; what roles may do is decided elsewhere.
    name: 'access',
    files: [
      'shared/runtime/authenticate.ts',
      'shared/runtime/authorizer.ts',
      'shared/runtime/principal.ts',
      'shared/adapters/token-authority.ts',
      'shared/adapters/certificate-verifier.ts',
    ],
    tests: ['test/runtime/tokens.test.ts', 'test/runtime/certificates.test.ts', 'test/functions/authorization.test.ts'],
  },
];
