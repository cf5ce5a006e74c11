import {
  BatchGetCommand,
  DeleteCommand,
  GetCommand,
  PutCommand,
  QueryCommand,
  TransactGetCommand,
  TransactWriteCommand,
  UpdateCommand,
} from '@aws-sdk/lib-dynamodb';
import type {
  BatchGetCommandInput,
  BatchGetCommandOutput,
  DynamoDBDocumentClient,
  TransactWriteCommandInput,
} from '@aws-sdk/lib-dynamodb';
import type { Random, Timers } from '../domain/environment.ts';
import { revision } from '../domain/ids.ts';
import type { Json } from '../domain/records.ts';
import { assertNever, err, invariant, ok } from '../domain/result.ts';
import type { Result } from '../domain/result.ts';
import { StoreError } from '../ports.ts';
import type {
  ConditionFailed,
  ItemKey,
  ItemWrite,
  MetadataStore,
  QueryPage,
  QueryRequest,
  StoredItem,
  StoreTable,
} from '../ports.ts';
import { buildWrite, keyAttributes } from './conditional-write.ts';
import { classify } from './dynamo-errors.ts';
import {
  checkKey,
  checkQuery,
  checkReadKeys,
  checkTransaction,
  checkWrite,
  keyText,
  STORE_ATTRIBUTES,
} from './limits.ts';
import { queryWindow } from './query-window.ts';
import type { QueryWindow } from './query-window.ts';

export interface DynamoStoreOptions {
  /** Made with `marshallOptions: { removeUndefinedValues: true }` and the SDK's own retries of throttled and failed requests. */
  readonly client: DynamoDBDocumentClient;
  /** Physical names of the tables: partition key `pk`, sort key `sk`, both strings. */
  readonly tables: Readonly<Record<StoreTable, string>>;
  readonly random: Random;
  readonly timers: Timers;
}

/** Random bytes of a write id; its 20 hex digits are the request token of a transaction too (at most 36 characters). */
const WRITE_ID_BYTES = 10;
/** Attempts of a call against conflicting transactions, which hold an item for some milliseconds each. */
const CONFLICT_ATTEMPTS_MAX = 8;
/** Answers of one batch read that bring nothing new before it counts as throttled. */
const IDLE_BATCHES_MAX = 6;
/** First pause, doubled with each attempt, jittered between half and the whole. */
const PAUSE_MS = 5;
const PAUSE_MS_MAX = 200;

type SingleWrite = Exclude<ItemWrite, { kind: 'check' }>;
type Attributes = Record<string, unknown>;
type BatchKeys = NonNullable<BatchGetCommandInput['RequestItems']>;
type TransactItem = NonNullable<TransactWriteCommandInput['TransactItems']>[number];

/**
 * MetadataStore over DynamoDB. Reads are strongly consistent. Every write carries a write id, the same in all attempts, so that
 * one whose answer was lost is recognised as one's own: a put or update by the item's write id, a delete or transaction by
 * its request token. A write that was applied, then overtaken by another before the repeat, is reported as a failed condition
 * with the item as it is: the caller decides anew, as after any lost race.
 */
export class DynamoStore implements MetadataStore {
  readonly #client: DynamoDBDocumentClient;
  readonly #tables: DynamoStoreOptions['tables'];
  readonly #random: Random;
  readonly #timers: Timers;

  constructor(options: DynamoStoreOptions) {
    this.#client = options.client;
    this.#tables = options.tables;
    this.#random = options.random;
    this.#timers = options.timers;
  }

  async get(key: ItemKey): Promise<StoredItem | null> {
    checkKey(key);
    const { Item } = await this.#attempts(() =>
      this.#client.send(
        new GetCommand({ TableName: this.#tables[key.table], Key: keyAttributes(key), ConsistentRead: true }),
      ),
    );
    return Item === undefined ? null : toItem(key.table, Item);
  }

  async getMany(keys: readonly ItemKey[]): Promise<readonly (StoredItem | null)[]> {
    checkReadKeys(keys);
    const found = new Map<string, StoredItem>();
    let rest = this.#batchOf(keys);
    let idle = 0;
    while (Object.keys(rest).length > 0) {
      if (idle > 0) await this.#pause(idle);
      const answer = await this.#sendBatch(rest);
      const before = found.size;
      for (const [physical, items] of Object.entries(answer.Responses ?? {}))
        for (const attributes of items) {
          const item = toItem(this.#logical(physical), attributes);
          found.set(keyText(item.key), item);
        }
      rest = answer.UnprocessedKeys ?? {};
      idle = found.size > before ? 0 : idle + 1;
      if (idle >= IDLE_BATCHES_MAX) throw new StoreError('THROTTLED', 'keys of a batch read stay unprocessed');
    }
    return keys.map((key) => found.get(keyText(key)) ?? null);
  }

  async getSnapshot(keys: readonly ItemKey[]): Promise<readonly (StoredItem | null)[]> {
    checkReadKeys(keys);
    if (keys.length === 0) return [];
    const distinct = distinctKeys(keys);
    const TransactItems = distinct.map((key) => ({
      Get: { TableName: this.#tables[key.table], Key: keyAttributes(key) },
    }));
    const { Responses } = await this.#attempts(() => this.#client.send(new TransactGetCommand({ TransactItems })));
    const found = new Map(
      distinct.map((key, index) => {
        const attributes = Responses?.[index]?.Item;
        return [keyText(key), attributes === undefined ? null : toItem(key.table, attributes)];
      }),
    );
    return keys.map((key) => found.get(keyText(key)) ?? null);
  }

  async query(request: QueryRequest): Promise<QueryPage> {
    checkQuery(request);
    const window = queryWindow(request);
    if (window === null) return { items: [], next: null };
    const answer = await this.#attempts(() =>
      this.#client.send(
        new QueryCommand({
          TableName: this.#tables[request.table],
          ...keyCondition(request, window),
          ScanIndexForward: request.order === 'forward',
          Limit: request.limit,
          ConsistentRead: true,
        }),
      ),
    );
    const next: unknown = answer.LastEvaluatedKey?.[STORE_ATTRIBUTES.sortKey];
    return {
      items: (answer.Items ?? []).map((attributes) => toItem(request.table, attributes)),
      next: typeof next === 'string' ? next : null,
    };
  }

  async write(write: SingleWrite): Promise<Result<StoredItem | null, ConditionFailed>> {
    checkWrite(write);
    // A repeated conditional delete would find its item gone and not know by whom: a transaction's token tells.
    if (write.kind === 'delete' && write.when.length > 0) {
      const deleted = await this.#transaction([write]);
      return deleted.ok ? ok(null) : deleted;
    }
    const writeId = this.#random.hex(WRITE_ID_BYTES);
    return this.#conditional([write], writeId, async () => {
      const attributes = await this.#send(write, writeId);
      return attributes === null ? null : toItem(write.key.table, attributes);
    });
  }

  async transact(writes: readonly ItemWrite[]): Promise<Result<void, ConditionFailed>> {
    checkTransaction(writes);
    return this.#transaction(writes);
  }

  // -- writing --------------------------------------------------------------------------------------------------------

  async #send(write: SingleWrite, writeId: string): Promise<Attributes | null> {
    const TableName = this.#tables[write.key.table];
    const ReturnValuesOnConditionCheckFailure = 'ALL_OLD';
    const { kind, ...parts } = buildWrite(write, writeId);
    switch (kind) {
      case 'put': {
        invariant('Item' in parts, 'a put carries an item');
        await this.#client.send(new PutCommand({ TableName, ...parts, ReturnValuesOnConditionCheckFailure }));
        return parts.Item;
      }
      case 'update': {
        invariant('UpdateExpression' in parts, 'an update carries an expression');
        const command = { TableName, ...parts, ReturnValues: 'ALL_NEW', ReturnValuesOnConditionCheckFailure } as const;
        return (await this.#client.send(new UpdateCommand(command))).Attributes ?? null;
      }
      case 'delete': {
        invariant('Key' in parts, 'a delete carries a key');
        await this.#client.send(new DeleteCommand({ TableName, ...parts }));
        return null;
      }
      case 'check':
        throw new StoreError('LIMIT_EXCEEDED', 'a check stands in transactions only');
      default:
        return assertNever(kind);
    }
  }

  async #transaction(writes: readonly ItemWrite[]): Promise<Result<void, ConditionFailed>> {
    const writeId = this.#random.hex(WRITE_ID_BYTES);
    const TransactItems = writes.map((write) => this.#transactItem(write, writeId));
    const command = { TransactItems, ClientRequestToken: writeId };
    const done = await this.#conditional(writes, writeId, async () => {
      await this.#client.send(new TransactWriteCommand(command));
      return null;
    });
    return done.ok ? ok(undefined) : done;
  }

  #transactItem(write: ItemWrite, writeId: string): TransactItem {
    const common = {
      TableName: this.#tables[write.key.table],
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    } as const;
    const { kind, ...parts } = buildWrite(write, writeId);
    if (kind === 'put' && 'Item' in parts) return { Put: { ...common, ...parts } };
    if (kind === 'update' && 'UpdateExpression' in parts) return { Update: { ...common, ...parts } };
    invariant('Key' in parts, 'a delete or check carries a key');
    if (kind === 'delete') return { Delete: { ...common, ...parts } };
    const { ConditionExpression } = parts;
    invariant(ConditionExpression !== undefined, 'a check carries a condition');
    return { ConditionCheck: { ...common, ...parts, ConditionExpression } };
  }

  /** Runs a write with its own retries; a failed condition on an item with our write id is our own write, applied before. */
  async #conditional(
    writes: readonly ItemWrite[],
    writeId: string,
    send: () => Promise<StoredItem | null>,
  ): Promise<Result<StoredItem | null, ConditionFailed>> {
    try {
      return ok(await this.#attempts(send));
    } catch (error) {
      const failure = classify(error);
      if (failure.kind !== 'CONDITION') throw error;
      const write = writes[failure.index];
      invariant(write !== undefined, `DynamoDB named write ${failure.index} of ${writes.length}`);
      const current = failure.attributes === null ? null : toItem(write.key.table, failure.attributes);
      if (current?.writeId === writeId) return ok(current);
      return err({ code: 'CONDITION_FAILED', index: failure.index, current });
    }
  }

  /** Retries conflicts, apart from failed conditions, which are passed on as they came; everything else becomes a StoreError. */
  async #attempts<T>(send: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await send();
      } catch (error) {
        const failure = classify(error);
        if (failure.kind === 'CONDITION') throw error;
        if (failure.kind === 'OTHER') throw failure.error;
        if (attempt >= CONFLICT_ATTEMPTS_MAX)
          throw new StoreError('TRANSACTION_CONFLICT', `another transaction held an item in ${attempt} attempts`, {
            cause: error,
          });
        await this.#pause(attempt);
      }
    }
  }

  #pause(attempt: number): Promise<void> {
    const ceilingMs = Math.min(PAUSE_MS_MAX, PAUSE_MS * 2 ** (attempt - 1));
    return this.#timers.sleep(ceilingMs * (0.5 + this.#random.next() / 2));
  }

  // -- reading --------------------------------------------------------------------------------------------------------

  #batchOf(keys: readonly ItemKey[]): BatchKeys {
    const byTable: BatchKeys = {};
    for (const key of distinctKeys(keys)) {
      const entry = (byTable[this.#tables[key.table]] ??= { Keys: [], ConsistentRead: true });
      entry.Keys?.push(keyAttributes(key));
    }
    return byTable;
  }

  #sendBatch(RequestItems: BatchKeys): Promise<BatchGetCommandOutput> {
    return this.#attempts(() => this.#client.send(new BatchGetCommand({ RequestItems })));
  }

  #logical(physical: string): StoreTable {
    for (const [table, name] of Object.entries(this.#tables)) if (name === physical) return table as StoreTable;
    throw new StoreError('UNAVAILABLE', `DynamoDB answered for a table ${physical} that was not asked`);
  }
}

const distinctKeys = (keys: readonly ItemKey[]): ItemKey[] => [
  ...new Map(keys.map((key) => [keyText(key), key])).values(),
];

function keyCondition(
  request: QueryRequest,
  { from, to, after }: QueryWindow,
): {
  KeyConditionExpression: string;
  ExpressionAttributeNames: Record<string, string>;
  ExpressionAttributeValues: Record<string, string>;
  ExclusiveStartKey?: Record<string, string>;
} {
  const bounds =
    from !== null && to !== null
      ? '#sk BETWEEN :from AND :to'
      : from !== null
        ? '#sk >= :from'
        : to !== null
          ? '#sk <= :to'
          : null;
  return {
    KeyConditionExpression: bounds === null ? '#pk = :pk' : `#pk = :pk AND ${bounds}`,
    ExpressionAttributeNames: {
      '#pk': STORE_ATTRIBUTES.partitionKey,
      ...(bounds === null ? {} : { '#sk': STORE_ATTRIBUTES.sortKey }),
    },
    ExpressionAttributeValues: {
      ':pk': request.pk,
      ...(from === null ? {} : { ':from': from }),
      ...(to === null ? {} : { ':to': to }),
    },
    ...(after === null
      ? {}
      : { ExclusiveStartKey: { [STORE_ATTRIBUTES.partitionKey]: request.pk, [STORE_ATTRIBUTES.sortKey]: after } }),
  };
}

function toItem(table: StoreTable, attributes: Attributes): StoredItem {
  const { partitionKey, sortKey, revision: revisionName, writeId: writeIdName } = STORE_ATTRIBUTES;
  const { [partitionKey]: pk, [sortKey]: sk, [revisionName]: rev, [writeIdName]: writeId, ...body } = attributes;
  if (typeof pk !== 'string' || typeof sk !== 'string' || typeof rev !== 'number' || typeof writeId !== 'string')
    throw new StoreError('UNAVAILABLE', `an item of table ${table} was not written by this store`);
  return { key: { table, pk, sk }, revision: revision(rev), writeId, body: body as { [field: string]: Json } };
}
