import type { STORE_TABLES } from '../shared/runtime/environment.ts';
import type { ApiEntry } from './front-door.ts';

/**
 * What each function may touch, as data: the stacks make its role from it, and a test holds it against what the function
 * does when it runs. Idempotency keys, operations and commands live in `operations`; audit entries and events in `events`.
 */

/** 'append' puts new items and reads none: history can be written by many and read by the one who shows it. */
export type TableMode = 'read' | 'append' | 'write';
export type TableAccess = { readonly [K in (typeof STORE_TABLES)[number]]?: TableMode };

export interface FunctionAccess {
  readonly tables: TableAccess;
  /**
   * What it does with the root keys: 'verify' gets their public halves to check tokens, 'sign' also lets them certify keys of its
   * own. Behind the authorizer most functions need neither.
   */
  readonly rootKeys?: 'verify' | 'sign';
  /** Pushes commands to data nodes: it joins their VPC where one is given. */
  readonly pushes?: true;
  /** Starts the executions of operations and looks at them. */
  readonly startsOperations?: true;
  /** Answers the task tokens that waiting operations gave out. */
  readonly answersTasks?: true;
  /** Puts events on the bus. */
  readonly publishes?: true;
}

export type FunctionName =
  ApiEntry | 'authorizer' | 'operation-step' | 'detect-failures' | 'reconcile' | 'publish-events' | 'sequence-changes';

const composed = (tables: TableAccess, more: Partial<FunctionAccess> = {}): FunctionAccess => ({
  tables,
  ...more,
});

export const functionAccess: Readonly<Record<FunctionName, FunctionAccess>> = {
  nodes: composed(
    // Drains are checked against the placement rules, which stand in the configuration.
    {
      topology: 'write',
      liveness: 'write',
      catalog: 'read',
      operations: 'write',
      access: 'write',
      events: 'append',
    },
    { rootKeys: 'sign', startsOperations: true },
  ),
  heartbeat: composed(
    { topology: 'write', liveness: 'write', catalog: 'read', operations: 'write', events: 'append' },
    { answersTasks: true, rootKeys: 'sign', pushes: true },
  ),
  shards: composed(
    { topology: 'write', liveness: 'write', catalog: 'read', operations: 'write', events: 'append' },
    { rootKeys: 'sign', pushes: true, startsOperations: true },
  ),
  tables: composed(
    { topology: 'read', liveness: 'read', catalog: 'write', operations: 'write', events: 'append' },
    { startsOperations: true },
  ),
  routes: composed({ topology: 'read', catalog: 'read', events: 'read' }, { rootKeys: 'verify' }),
  config: composed(
    { topology: 'read', liveness: 'read', catalog: 'write', operations: 'write', events: 'append' },
    { startsOperations: true },
  ),
  operations: composed({ operations: 'write', events: 'append' }, { startsOperations: true }),
  auth: composed({ events: 'read' }, { rootKeys: 'sign' }),
  cluster: composed({ topology: 'read', liveness: 'read', catalog: 'read' }),
  // A last resort by hand, with a role of its own: it changes leaders and tells them.
  recovery: composed(
    { topology: 'write', liveness: 'write', catalog: 'read', operations: 'write', events: 'append' },
    { rootKeys: 'sign', pushes: true },
  ),
  meta: composed({ catalog: 'read' }),
  // Nodes that prove themselves by their own key: the key stands in their record.
  authorizer: composed({ topology: 'read' }, { rootKeys: 'verify' }),
  'operation-step': composed(
    { topology: 'write', liveness: 'write', catalog: 'write', operations: 'write', events: 'append' },
    { startsOperations: true, answersTasks: true, rootKeys: 'sign', pushes: true },
  ),
  // Its commands go into mailboxes, which nodes empty.
  'detect-failures': composed(
    { topology: 'write', liveness: 'write', operations: 'append', events: 'append' },
    { rootKeys: 'sign', pushes: true },
  ),
  reconcile: composed(
    { topology: 'write', liveness: 'write', catalog: 'read', operations: 'write', events: 'append' },
    { startsOperations: true, rootKeys: 'sign', pushes: true },
  ),
  'publish-events': { tables: {}, publishes: true },
  'sequence-changes': composed({ events: 'write' }),
};

const READ_ACTIONS = ['dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:Query'] as const;
const WRITE_ACTIONS = [
  'dynamodb:PutItem',
  'dynamodb:UpdateItem',
  'dynamodb:DeleteItem',
  'dynamodb:ConditionCheckItem',
] as const;

/** Transactions are authorized item by item, by the actions of their parts. */
export const tableActions: Readonly<Record<TableMode, readonly string[]>> = {
  read: READ_ACTIONS,
  append: ['dynamodb:PutItem'],
  write: [...READ_ACTIONS, ...WRITE_ACTIONS],
};
