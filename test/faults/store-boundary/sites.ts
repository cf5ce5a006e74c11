import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** Call sites of the store in the product's source: found in the code, and found again in the stack of a call that was made. */

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
/** Where decisions call the store. What implements it (records, stores, directory) is not a caller but the way. */
const CALLERS = [
  'shared/usecases/**/*.ts',
  'shared/runtime/**/*.ts',
  'shared/adapters/**/*.ts',
  'state-machines/**/*.ts',
];
/** A caller's frame in a stack; the first one from the store on is the call site. */
const CALLER_FRAME = /\/((?:shared\/(?:usecases|runtime|adapters)|state-machines)\/[^:?)]+\.ts)[^:)]*:(\d+):\d+/g;
const PORTS: Readonly<Record<string, readonly string[]>> = {
  records: ['get', 'getMany', 'query', 'commit', 'observe', 'observeAll'],
  directory: [
    'lookup',
    'locate',
    'scan',
    'replicasOn',
    'resolve',
    'splitWrites',
    'mergeWrites',
    'makeRoom',
    'append',
    'removeFirst',
  ],
  liveness: ['of', 'all'],
};

/** `shared/usecases/tables.ts:42`, for every call of a port that reaches the store. */
export function callSites(): ReadonlySet<string> {
  const sites = new Set<string>();
  for (const pattern of CALLERS)
    for (const path of globSync(pattern, { cwd: ROOT })) {
      const source = ts.createSourceFile(path, readFileSync(`${ROOT}${path}`, 'utf8'), ts.ScriptTarget.ESNext, true);
      const visit = (node: ts.Node): void => {
        if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
          const { expression: object, name } = node.expression;
          const port = (ts.isPropertyAccessExpression(object) ? object.name : object).getText(source);
          // A Map of that name is asked with one argument.
          const isMap = port === 'records' && name.text === 'get' && node.arguments.length < 2;
          if (PORTS[port]?.includes(name.text) === true && !isMap) {
            const { line } = source.getLineAndCharacterOfPosition(name.getStart(source));
            sites.add(`${path}:${line + 1}`);
          }
        }
        ts.forEachChild(node, visit);
      };
      visit(source);
    }
  return sites;
}

/** Frames of callers in a stack, innermost first, as `callSites` names them. */
export function callersIn(stack: string): readonly string[] {
  return [...stack.matchAll(CALLER_FRAME)].map(([, path, line]) => `${path}:${line}`);
}
