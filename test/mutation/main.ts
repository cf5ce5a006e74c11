import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { mutationTargets } from './targets.ts';
import type { MutationTarget } from './targets.ts';
import { commit } from '../../bench/commit.ts';

/**
 * `npm run mutation -- [--target NAME]... [--file PATH]... [--json]`: Stryker on the decisions that carry the most, each file against the tests
 * whose subject it is. Stryker is no dependency of this project (one more tree of packages for a tool that is run by hand): it is fetched by
 * `npm exec`, or taken from `STRYKER_DIR` (a folder in whose node_modules it is installed). It runs in a copy, never in the tree itself.
 */
const STRYKER_VERSION = '10.0.0';
/** Score that each target should reach, per cent of the mutants that some test runs into or should. */
const SCORE_MIN = 90;
const MUTANT_TIMEOUT_MS = 5_000;
const COPIED = [
  'shared',
  'test',
  'state-machines',
  'functions',
  'local',
  'infra',
  'data-node',
  'client',
  'package.json',
  'jest.config.js',
  'tsconfig.json',
];

const { values } = parseArgs({
  options: {
    target: { type: 'string', multiple: true },
    file: { type: 'string', multiple: true },
    json: { type: 'boolean', default: false },
  },
});

interface Mutant {
  readonly status: string;
  readonly mutatorName: string;
  readonly replacement?: string;
  readonly location: { readonly start: { readonly line: number; readonly column: number } };
}
interface Report {
  readonly files: Readonly<Record<string, { readonly mutants: readonly Mutant[] }>>;
}

interface FileScore {
  readonly file: string;
  /** Those whose tests did not end in time are in it. */
  readonly killed: number;
  /** Of these: an endless loop, or a machine that stood still. */
  readonly timeouts: number;
  readonly survived: number;
  /** In lines that no test runs. */
  readonly uncovered: number;
  /** Per cent of killed, survived and uncovered together. */
  readonly score: number;
  readonly survivors: readonly string[];
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);

function main(): void {
  const targets = mutationTargets.filter(({ name }) => values.target === undefined || values.target.includes(name));
  if (targets.length === 0)
    throw new Error(`no such target; there are ${mutationTargets.map(({ name }) => name).join(', ')}`);
  const root = process.cwd();
  const copy = mkdtempSync(join(tmpdir(), 'shardkeeper-mutation-'));
  try {
    for (const path of COPIED) cpSync(join(root, path), join(copy, path), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
    const scores = targets.flatMap((target) =>
      mutate(copy, target).map((score) => ({ target: target.name, ...score })),
    );
    const byTarget = Object.fromEntries(
      targets.map(({ name }) => [name, scoreOf(scores.filter((s) => s.target === name))]),
    );
    for (const { file, survivors } of scores) for (const survivor of survivors) say(`survived: ${file}:${survivor}`);
    const summary = {
      name: 'mutation',
      commit: commit(),
      pass: Object.values(byTarget).every((score) => score >= SCORE_MIN),
      scores: byTarget,
      files: Object.fromEntries(
        scores.map(({ file, killed, timeouts, survived, uncovered, score }) => [
          file,
          { score, killed, timeouts, survived, uncovered },
        ]),
      ),
    };
    process.stdout.write(`${JSON.stringify(summary, null, values.json ? undefined : 2)}\n`);
    process.exitCode = summary.pass ? 0 : 1;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

const mutate = (copy: string, target: MutationTarget): FileScore[] =>
  Object.entries(target.files)
    .filter(([file]) => values.file === undefined || values.file.includes(file))
    .flatMap(([file, tests]) => mutateFile(copy, file, tests));

function mutateFile(copy: string, file: string, tests: readonly string[]): FileScore[] {
  const missing = tests.filter((test) => !existsSync(join(copy, test)));
  if (missing.length > 0) throw new Error(`there is no ${missing.join(', ')}`);
  const config = {
    mutate: [file],
    testRunner: 'jest',
    testRunnerNodeArgs: ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'],
    plugins: ['@stryker-mutator/jest-runner'],
    coverageAnalysis: 'perTest',
    jest: {
      configFile: 'jest.config.js',
      config: { testMatch: tests.map((test) => `<rootDir>/${test}`), maxWorkers: 1 },
      enableFindRelatedTests: false,
    },
    reporters: ['json', 'clear-text', 'progress-append-only'],
    jsonReporter: { fileName: 'mutation.json' },
    clearTextReporter: { logTests: false, reportMutants: false, reportTests: false, allowColor: false },
    concurrency: 1,
    timeoutMS: MUTANT_TIMEOUT_MS,
    inPlace: true,
    disableTypeChecks: false,
    symlinkNodeModules: false,
  };
  writeFileSync(join(copy, 'stryker.config.json'), JSON.stringify(config));
  const [command, args] = strykerCommand();
  const ran = spawnSync(command, args, { cwd: copy, stdio: ['ignore', process.stderr, process.stderr] });
  if (!existsSync(join(copy, 'mutation.json'))) throw new Error(`Stryker made no report (status ${ran.status})`);
  const report = JSON.parse(readFileSync(join(copy, 'mutation.json'), 'utf8')) as Report;
  rmSync(join(copy, 'mutation.json'));
  return Object.entries(report.files).map(([name, { mutants }]) => fileScore(name, mutants));
}

/** Where Stryker is: installed in `STRYKER_DIR`, or fetched for this run. */
function strykerCommand(): [command: string, args: string[]] {
  const directory = process.env['STRYKER_DIR'];
  if (directory !== undefined) {
    return [process.execPath, [join(directory, 'node_modules/@stryker-mutator/core/bin/stryker.js'), 'run']];
  }
  const packages = ['core', 'jest-runner'].flatMap((name) => ['-p', `@stryker-mutator/${name}@${STRYKER_VERSION}`]);
  return ['npm', ['exec', '--yes', ...packages, '--', 'stryker', 'run']];
}

function fileScore(file: string, mutants: readonly Mutant[]): FileScore {
  const of = (...statuses: string[]): readonly Mutant[] => mutants.filter(({ status }) => statuses.includes(status));
  const killed = of('Killed', 'Timeout').length;
  const survivors = of('Survived');
  const uncovered = of('NoCoverage');
  const counted = {
    killed,
    timeouts: of('Timeout').length,
    survived: survivors.length,
    uncovered: uncovered.length,
  };
  return {
    file,
    ...counted,
    score: scoreOf([counted]),
    survivors: [...survivors, ...uncovered].map(
      ({ location: { start }, mutatorName, replacement = '', status }) =>
        `${start.line}:${start.column} ${status} ${mutatorName} -> ${replacement.replaceAll(/\s+/g, ' ').slice(0, 120)}`,
    ),
  };
}

/** Per cent, one decimal; 100 where there is nothing to mutate. */
function scoreOf(scores: readonly Pick<FileScore, 'killed' | 'survived' | 'uncovered'>[]): number {
  const killed = scores.reduce((sum, score) => sum + score.killed, 0);
  const all = scores.reduce((sum, score) => sum + score.killed + score.survived + score.uncovered, 0);
  return all === 0 ? 100 : Math.floor((killed / all) * 1_000) / 10;
}

main();
