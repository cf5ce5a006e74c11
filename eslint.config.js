import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';
import { createNodeResolver, importX } from 'eslint-plugin-import-x';
import { layers, ambientSourcesForbiddenIn } from './test/architecture/layers.js';

/** Import zones: see test/architecture/layers.js, the one place where the layering is written down. */
const zones = layers.map((layer) => ({
  target: layer.folder,
  from: '.',
  except: [
    ...layer.mayImport,
    layer.folder,
    ...(layer.packages === 'any' ? ['node_modules'] : layer.packages.map((name) => `node_modules/${name}`)),
  ].map((path) => `./${path.replace(/^\.\//, '')}`),
  message: layer.why,
}));

export default defineConfig(
  { ignores: ['node_modules', 'cdk.out', '.data', '.venv', 'coverage', 'dist'] },
  tseslint.configs.recommendedTypeChecked,
  {
    files: ['**/*.ts'],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { 'import-x': importX },
    settings: { 'import-x/resolver-next': [createNodeResolver({ extensions: ['.ts', '.js', '.json'] })] },
    rules: {
      'import-x/no-restricted-paths': ['error', { zones, basePath: import.meta.dirname }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/require-await': 'off',
      eqeqeq: 'error',
      'no-restricted-syntax': ['error', { selector: 'TSEnumDeclaration', message: 'Use a union of literals.' }],
    },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: { '@typescript-eslint/no-non-null-assertion': 'off', '@typescript-eslint/no-floating-promises': 'error' },
  },
  {
    // Time, randomness and the environment come in from outside (STYLE rule 6; determinism of the simulation).
    // Composition roots and the folders that implement the ports over the operating system are where they come from.
    files: ambientSourcesForbiddenIn,
    ignores: ['**/system/**', '**/main.ts'],
    rules: {
      'no-restricted-globals': [
        'error',
        ...['Date', 'process', 'performance', 'setTimeout', 'setInterval', 'setImmediate', 'crypto', 'fetch'].map(
          (name) => ({
            name,
            message:
              'Take it from a port (Clock, Timers, Random, NodeNetwork): time, randomness and I/O come in from outside.',
          }),
        ),
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Math', property: 'random', message: 'Use the Random port.' },
        { object: 'Date', property: 'now', message: 'Use the Clock port.' },
      ],
    },
  },
  { files: ['**/*.js', '**/*.mjs'], extends: [tseslint.configs.disableTypeChecked] },
);
