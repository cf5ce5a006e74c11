/**
 * The layering, written down once: eslint's import zones (eslint.config.js) and the test beside this file both read it.
 * `mayImport` lists folders or files of this project; `packages` lists npm packages ('node:' built-ins are judged by
 * `builtins`). The most specific folder of a file decides.
 */
/** @type {{folder: string, mayImport: string[], packages: string[] | 'any', builtins: boolean, why: string}[]} */
export const layers = [
  {
    folder: 'shared/domain',
    mayImport: [],
    packages: [],
    builtins: false,
    why: 'domain imports domain alone: decisions are pure functions of a snapshot.',
  },
  {
    folder: 'shared/contracts',
    mayImport: ['shared/domain'],
    packages: ['zod'],
    builtins: false,
    why: 'contracts import domain and zod.',
  },
  {
    folder: 'shared/ports',
    mayImport: ['shared/domain'],
    packages: [],
    builtins: false,
    why: 'ports speak of the domain alone; everybody imports them from shared/ports.ts.',
  },
  {
    folder: 'shared/usecases',
    mayImport: ['shared/domain', 'shared/contracts', 'shared/ports.ts'],
    packages: [],
    builtins: false,
    why: 'use cases import domain, ports and contracts: load, decide, commit.',
  },
  {
    folder: 'state-machines',
    mayImport: ['shared/domain', 'shared/contracts', 'shared/ports.ts', 'shared/usecases'],
    packages: [],
    builtins: false,
    why: 'steps import domain, ports, contracts and use cases (ADR 0006); ASL sequences, TypeScript decides.',
  },
  {
    folder: 'shared/store',
    mayImport: ['shared/domain', 'shared/contracts', 'shared/ports.ts'],
    packages: 'any',
    builtins: true,
    why: 'the store implements ports.',
  },
  {
    folder: 'shared/adapters',
    mayImport: ['shared/domain', 'shared/contracts', 'shared/ports.ts'],
    packages: 'any',
    builtins: true,
    why: 'adapters implement ports.',
  },
  {
    folder: 'shared/runtime',
    mayImport: ['shared', 'state-machines'],
    packages: 'any',
    builtins: true,
    why: 'the composition root wires shared and state-machines.',
  },
  {
    folder: 'functions',
    mayImport: ['shared/runtime', 'shared/usecases', 'shared/contracts'],
    packages: 'any',
    builtins: true,
    why: 'Lambda entries are thin: runtime, use cases and contracts only.',
  },
  {
    folder: 'client',
    mayImport: ['shared/contracts'],
    packages: [],
    builtins: true,
    why: 'the client library knows contracts only.',
  },
  {
    folder: 'console',
    mayImport: ['shared/contracts'],
    packages: 'any',
    builtins: true,
    why: 'the console knows contracts only.',
  },
  {
    folder: 'cli',
    mayImport: ['shared/contracts', 'client'],
    packages: ['commander', 'cli-table3', 'zod'],
    builtins: true,
    why: 'shardctl talks HTTP only: contracts and client.',
  },
  {
    folder: 'data-node',
    mayImport: ['shared/domain', 'shared/contracts'],
    packages: ['jsonwebtoken', 'canonicalize', 'zod'],
    builtins: true,
    why: 'a data node shares only domain and contracts with the control plane.',
  },
  {
    folder: 'infra',
    mayImport: ['state-machines/registry.ts', 'shared/runtime/environment.ts'],
    packages: 'any',
    builtins: true,
    why: 'infra reads the registry and the environment schema, nothing that runs.',
  },
];

/** Files in which clocks, timers, randomness and the network may only come through ports. */
export const ambientSourcesForbiddenIn = [
  'shared/domain/**/*.ts',
  'shared/contracts/**/*.ts',
  'shared/usecases/**/*.ts',
  'shared/store/**/*.ts',
  'state-machines/**/*.ts',
  'functions/**/*.ts',
  'client/**/*.ts',
  'data-node/**/*.ts',
];
