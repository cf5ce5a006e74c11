import { functionAccess, tableActions } from '../../infra/access.ts';
import type { FunctionName } from '../../infra/access.ts';
import { STORE_TABLES } from '../../shared/runtime/environment.ts';
import type { AccessWorld } from './access-world.ts';
import { clusterLife } from './cluster-life.ts';
import { leastMode } from './recorder.ts';
import { namedResources, roleOf, statementsOf, templates } from './support.ts';

/**
 * Least privilege, both ways: what every function does in a cluster's life (nodes join, a table comes and goes, a leader moves,
 * nodes die) is what `functionAccess` declares, and what its role in the template allows.
 */
let world: AccessWorld;
beforeAll(async () => {
  world = await clusterLife();
});
afterAll(() => world.close());

const names = (Object.keys(functionAccess) as FunctionName[]).filter(
  (name) => name !== 'publish-events' && name !== 'sequence-changes',
);

describe('what a function does is what it is declared to do', () => {
  test.each(names)('%s: tables', (name) => {
    const touched = [...world.recorder.touchedBy(name)].filter((what) => what.includes(' '));
    const modes = STORE_TABLES.flatMap((table) => {
      const actions = touched.filter((what) => what.startsWith(`${table} `)).map((what) => what.split(' ')[1]!);
      return actions.length === 0 ? [] : [[table, leastMode(actions)] as const];
    });
    expect(Object.fromEntries(modes)).toEqual(functionAccess[name].tables);
  });

  test.each(names)('%s: operations', (name) => {
    const touched = [...world.recorder.touchedBy(name)];
    expect(touched.includes('states:StartExecution')).toBe(functionAccess[name].startsOperations === true);
    expect(touched.includes('states:SendTaskSuccess')).toBe(functionAccess[name].answersTasks === true);
  });
});

describe('root keys and nodes', () => {
  test.each(names)('%s', (name) => {
    const touched = world.recorder.touchedBy(name);
    const { rootKeys, pushes } = functionAccess[name];
    expect({ name, gets: touched.has('kms:GetPublicKey'), signs: touched.has('kms:Sign') }).toEqual({
      name,
      gets: rootKeys !== undefined,
      signs: rootKeys === 'sign',
    });
    expect({ name, pushes: touched.has('push') }).toEqual({ name, pushes: pushes === true });
  });
});

describe('a role allows what its function is declared to do, and no more (template only)', () => {
  const built = templates();
  const functions = [built.api, built.operations].flatMap((template) =>
    Object.values(namedResources(template, 'AWS::Lambda::Function')).map((resource) => ({ template, resource })),
  );

  test.each(Object.entries(functionAccess))('%s', (name, access) => {
    const handlers: Readonly<Record<string, RegExp>> = {
      authorizer: /bearer tokens/,
      'operation-step': /Every Task/,
      'detect-failures': /detector loop/,
      reconcile: /crash or a lost message/,
      'publish-events': /Outbox/,
      'sequence-changes': /Feeds/,
    };
    const described = handlers[name] ?? new RegExp(`^API: ${name}$`);
    const found = functions.filter(({ resource }) => described.test(String(resource.Properties['Description'])));
    expect(found).toHaveLength(1);
    const { template, resource } = found[0]!;
    const statements = statementsOf(template, roleOf(resource));
    const allowed = new Map(
      STORE_TABLES.map((table): [string, readonly string[]] => {
        const ofTable = new RegExp(`Output(FnGetAtt|Ref)${table}[0-9A-F]{8}(Arn)?`, 'i');
        const actions = statements
          .filter(({ resources }) => resources.some((one) => ofTable.test(JSON.stringify(one))))
          .flatMap((statement) => statement.actions)
          // The stream of the outbox is a resource of its own.
          .filter(
            (action) =>
              action.startsWith('dynamodb:') &&
              !action.includes('Stream') &&
              !action.includes('Shard') &&
              !action.includes('Records'),
          );
        return [table, [...new Set(actions)].toSorted()];
      }).filter(([, actions]) => actions.length > 0),
    );
    const declared = Object.fromEntries(
      Object.entries(access.tables).map(([table, mode]) => [table, [...tableActions[mode]].toSorted()]),
    );
    expect(Object.fromEntries(allowed)).toEqual(declared);
    const actions = new Set(statements.flatMap((statement) => statement.actions));
    expect(actions.has('kms:GetPublicKey')).toBe(access.rootKeys !== undefined);
    expect(actions.has('kms:Sign')).toBe(access.rootKeys === 'sign');
    expect(actions.has('states:StartExecution')).toBe(access.startsOperations === true);
    expect(actions.has('states:SendTaskSuccess')).toBe(access.answersTasks === true);
    expect(actions.has('events:PutEvents')).toBe(access.publishes === true);
  });
});
