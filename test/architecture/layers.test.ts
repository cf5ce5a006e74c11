import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ESLint } from 'eslint';
import { layers } from './layers.js';
import { readSource, ROOT, sourcesUnder, specifiersOf, violationsOf } from './imports.ts';

/** Imports point inward only (DESIGN section 3). The linter holds the same table while one writes; this holds it for good. */
const folders = layers.map((layer) => layer.folder).filter((folder) => existsSync(join(ROOT, folder)));

describe('layers', () => {
  test.each(folders)('%s imports only what its layer may', (folder) => {
    const files = sourcesUnder(folder);
    expect(files.length).toBeGreaterThan(0);
    expect(files.flatMap((file) => violationsOf(file, readSource(file)))).toEqual([]);
  });

  test('every folder of sources has a layer, or may import anything', () => {
    const free = new Set([
      'local',
      'bench',
      'model',
      'test',
      'docs',
      'node_modules',
      'shared',
      'coverage',
      'cdk.out',
      'dist',
    ]);
    const folders = readdirSync(ROOT, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map((entry) => entry.name);
    const unknown = folders.filter((name) => !free.has(name) && !layers.some((layer) => layer.folder === name));
    expect(unknown).toEqual([]);
  });

  test.each([
    ['shared/domain/planted.ts', "import * as z from 'zod';"],
    ['shared/domain/planted.ts', "import { readFileSync } from 'node:fs';"],
    ['shared/domain/planted.ts', "export { calls } from '../contracts/api/index.ts';"],
    ['shared/contracts/planted.ts', "import type { Deps } from '../ports.ts';"],
    ['shared/usecases/planted.ts', "import { SqliteStore } from '../store/sqlite-store.ts';"],
    ['shared/usecases/planted.ts', "import { createHash } from 'node:crypto';"],
    ['state-machines/create-table/planted.ts', "import { composeDeps } from '../../shared/runtime/deps.ts';"],
    ['functions/api/planted.ts', "import { election } from '../../shared/domain/election.ts';"],
    ['client/planted.ts', "const later = await import('../shared/domain/keys.ts');"],
    ['data-node/planted.ts', "import {\n  type Deps,\n  StoreError,\n} from '../shared/ports.ts';"],
    ['cli/planted.ts', "import { startRunner } from '../local/runner.ts';"],
    ['infra/planted.ts', "import '../shared/runtime/deps.ts';"],
  ])('a planted violation is found: %s %s', (file, source) => {
    expect(violationsOf(file, source)).toHaveLength(1);
  });

  test.each([
    ['shared/contracts/planted.ts', "import * as z from 'zod';\nimport { nodeId } from '../domain/ids.ts';"],
    ['shared/runtime/planted.ts', "import { stateMachines } from '../../state-machines/registry.ts';"],
    ['local/planted.ts', "import { App } from 'aws-cdk-lib';"],
  ])('what a layer may import passes: %s', (file, source) => {
    expect(violationsOf(file, source)).toEqual([]);
  });

  test('specifiers of all forms are read, strings and comments in code are not', () => {
    const source = `import a from 'a';\nimport type { B } from "b";\nexport * from 'c';\nimport 'd';\nawait import('e');\nconst x = "from 'f'";`;
    expect(specifiersOf(source).toSorted()).toEqual(['a', 'b', 'c', 'd', 'e']);
  });
});

describe('linter', () => {
  const lint = async (filePath: string, source: string): Promise<readonly (string | null)[]> => {
    // Types are judged elsewhere; a file that does not exist has none.
    const eslint = new ESLint({
      cwd: ROOT,
      overrideConfig: {
        languageOptions: { parserOptions: { projectService: { allowDefaultProject: ['shared/domain/*.ts'] } } },
      },
    });
    const [result] = await eslint.lintText(source, { filePath: join(ROOT, filePath) });
    return result?.messages.map((message) => message.ruleId) ?? [];
  };

  test('import zones catch a planted violation', async () => {
    const rules = await lint(
      'shared/domain/planted.ts',
      "import { StoreError } from '../ports.ts';\nexport const planted = StoreError;\n",
    );
    expect(rules).toContain('import-x/no-restricted-paths');
  });

  test('ambient time and randomness are caught where they must come through ports', async () => {
    const rules = await lint('shared/domain/planted.ts', 'export const planted = Math.random() + Date.now();\n');
    expect(rules).toEqual(expect.arrayContaining(['no-restricted-properties', 'no-restricted-globals']));
  });
});
