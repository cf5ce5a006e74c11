import { AsyncLocalStorage } from 'node:async_hooks';
import { tableActions } from '../../infra/access.ts';
import type { FunctionName, TableMode } from '../../infra/access.ts';
import { err } from '../../shared/domain/result.ts';
import type { MetadataStore, NodeClient, OperationStarter, RootSigner, StoreTable } from '../../shared/ports.ts';

/** Notes what each function does to tables and operations while it runs, as the actions that its role must allow. */
export class AccessRecorder {
  private readonly current = new AsyncLocalStorage<FunctionName>();
  private readonly notes = new Map<FunctionName, Set<string>>();

  /** Runs `work` as the function of that name would. */
  as<T>(name: FunctionName, work: () => Promise<T>): Promise<T> {
    return this.current.run(name, work);
  }

  /** What the function did: `topology dynamodb:GetItem`, `states:StartExecution` ... */
  touchedBy(name: FunctionName): ReadonlySet<string> {
    return this.notes.get(name) ?? new Set();
  }

  store(store: MetadataStore): MetadataStore {
    const note = (table: StoreTable, action: string): void => this.note(`${table} dynamodb:${action}`);
    const ofWrite = {
      put: 'PutItem',
      update: 'UpdateItem',
      delete: 'DeleteItem',
      check: 'ConditionCheckItem',
    } as const;
    return {
      get: (key) => {
        note(key.table, 'GetItem');
        return store.get(key);
      },
      getMany: (keys) => {
        for (const key of keys) note(key.table, 'BatchGetItem');
        return store.getMany(keys);
      },
      getSnapshot: (keys) => {
        for (const key of keys) note(key.table, 'GetItem');
        return store.getSnapshot(keys);
      },
      query: (request) => {
        note(request.table, 'Query');
        return store.query(request);
      },
      write: (write) => {
        note(write.key.table, ofWrite[write.kind]);
        return store.write(write);
      },
      transact: (writes) => {
        for (const write of writes) note(write.key.table, ofWrite[write.kind]);
        return store.transact(writes);
      },
    };
  }

  operations(starter: OperationStarter): OperationStarter {
    return {
      start: (type, id, run) => {
        this.note('states:StartExecution');
        return starter.start(type, id, run);
      },
      isRunning: (type, id, run) => {
        this.note('states:DescribeExecution');
        return starter.isRunning(type, id, run);
      },
      succeedTask: (token, output) => {
        this.note('states:SendTaskSuccess');
        return starter.succeedTask(token, output);
      },
      failTask: (token, code, message) => {
        this.note('states:SendTaskFailure');
        return starter.failTask(token, code, message);
      },
    };
  }

  /** KMS as the functions use it. */
  root(root: RootSigner): RootSigner {
    return {
      sign: (data) => {
        this.note('kms:Sign');
        return root.sign(data);
      },
      publicKeys: () => {
        this.note('kms:GetPublicKey');
        return root.publicKeys();
      },
    };
  }

  /** Nodes, none of which can be reached: what is pushed is only noted. */
  nodes(): NodeClient {
    return {
      push: (node) => {
        this.note('push');
        return Promise.resolve(err({ code: 'NODE_UNREACHABLE', message: `${node.nodeId} is not there` }));
      },
    };
  }

  private note(what: string): void {
    const name = this.current.getStore();
    if (name === undefined) return;
    const notes = this.notes.get(name) ?? new Set();
    notes.add(what);
    this.notes.set(name, notes);
  }
}

/** The least mode that allows the actions. */
export function leastMode(actions: readonly string[]): TableMode {
  const modes = ['read', 'append', 'write'] as const;
  const least = modes.find((mode) => actions.every((action) => tableActions[mode].includes(action)));
  if (least === undefined) throw new Error(`no mode allows ${actions.join(', ')}`);
  return least;
}
