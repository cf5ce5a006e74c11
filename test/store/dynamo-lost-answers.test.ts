import {
  ConditionalCheckFailedException,
  DynamoDBClient,
  TransactionCanceledException,
  TransactionConflictException,
} from '@aws-sdk/client-dynamodb';
import {
  BatchGetCommand,
  DeleteCommand,
  DynamoDBDocumentClient,
  GetCommand,
  PutCommand,
  QueryCommand,
  TransactGetCommand,
  TransactWriteCommand,
  UpdateCommand,
} from '@aws-sdk/lib-dynamodb';
import type { PutCommandInput, TransactWriteCommandInput, UpdateCommandInput } from '@aws-sdk/lib-dynamodb';
import { marshall } from '@aws-sdk/util-dynamodb';
import { mockClient } from 'aws-sdk-client-mock';
import { revision } from '../../shared/domain/ids.ts';
import { Bug } from '../../shared/domain/result.ts';
import type { ItemKey, ItemWrite } from '../../shared/ports.ts';
import { DynamoStore } from '../../shared/store/dynamo-store.ts';
import { testTables } from '../support/dynamo-engine.ts';
import { hastyTimers, seededRandom } from '../support/environment.ts';

/** What no engine on one machine does: answers that get lost, conflicts, throttling. Faked at the SDK's boundary. */

const client = DynamoDBDocumentClient.from(new DynamoDBClient({ region: 'eu-central-1' }));
const sdk = mockClient(client);
let store: DynamoStore;
beforeEach(() => {
  sdk.reset();
  store = new DynamoStore({ client, tables: testTables, random: seededRandom(7), timers: hastyTimers });
});

const $metadata = {};
const key: ItemKey = { table: 'topology', pk: 'P', sk: 'a' };
const stored = { pk: 'P', sk: 'a', rev: 4, w: 'somebody-else', n: 1 };
const put: Extract<ItemWrite, { kind: 'put' }> = {
  kind: 'put',
  key,
  body: { n: 2 },
  when: [{ kind: 'revision', is: revision(3) }],
};
const update: Extract<ItemWrite, { kind: 'update' }> = { kind: 'update', key, set: { n: 2 }, when: [] };
const conditionFailed = (item: Record<string, unknown> | null): ConditionalCheckFailedException =>
  new ConditionalCheckFailedException({
    $metadata,
    message: 'The conditional request failed',
    ...(item === null ? {} : { Item: marshall(item) }),
  });
const cancelled = (...reasons: { Code: string; Item?: Record<string, unknown> }[]): TransactionCanceledException =>
  new TransactionCanceledException({
    $metadata,
    message: 'Transaction cancelled',
    CancellationReasons: reasons.map(({ Code, Item }) => ({
      Code,
      ...(Item === undefined ? {} : { Item: marshall(Item) }),
    })),
  });
const conflict = (): TransactionConflictException =>
  new TransactionConflictException({ $metadata, message: 'conflict' });
const named = (name: string): Error => Object.assign(new Error(`${name}!`), { name });
const tokensSent = (): (string | undefined)[] =>
  sdk.commandCalls(TransactWriteCommand).map((call) => call.args[0].input.ClientRequestToken);

describe('a write whose answer was lost, sent again by the SDK', () => {
  test('is recognised by its write id: a put', async () => {
    sdk.on(PutCommand).callsFake((input: PutCommandInput) => {
      throw conditionFailed(input.Item ?? {});
    });
    expect(await store.write(put)).toMatchObject({ ok: true, value: { revision: 4, body: { n: 2 } } });
  });

  test('is recognised by its write id: an update', async () => {
    sdk.on(UpdateCommand).callsFake((input: UpdateCommandInput) => {
      const writeId = Object.values(input.ExpressionAttributeValues ?? {}).find((value) => typeof value === 'string');
      throw conditionFailed({ ...stored, w: writeId as string });
    });
    expect(await store.write(update)).toMatchObject({ ok: true, value: { revision: 4 } });
  });

  test('is recognised by its write id: a transaction older than its request token', async () => {
    sdk.on(TransactWriteCommand).callsFake((input: TransactWriteCommandInput) => {
      throw cancelled({ Code: 'ConditionalCheckFailed', Item: input.TransactItems?.[0]?.Put?.Item ?? {} });
    });
    expect(await store.transact([put])).toEqual({ ok: true, value: undefined });
  });

  test('that somebody overtook is a failed condition, with the item as it is', async () => {
    sdk.on(PutCommand).rejects(conditionFailed(stored));
    expect(await store.write(put)).toEqual({
      ok: false,
      error: {
        code: 'CONDITION_FAILED',
        index: 0,
        current: { key, revision: 4, writeId: 'somebody-else', body: { n: 1 } },
      },
    });
  });

  test('and a conditional delete carry a request token, so that DynamoDB applies them once', async () => {
    sdk.on(TransactWriteCommand).resolves({});
    expect(await store.write({ kind: 'delete', key, when: [{ kind: 'present' }] })).toEqual({ ok: true, value: null });
    expect(await store.transact([put])).toEqual({ ok: true, value: undefined });
    expect(tokensSent().map((token) => token?.length)).toEqual([20, 20]);
    expect(new Set(tokensSent()).size).toBe(2);
  });

  test('an unconditional delete needs no token: twice is as good as once', async () => {
    sdk.on(DeleteCommand).resolves({});
    expect(await store.write({ kind: 'delete', key, when: [] })).toEqual({ ok: true, value: null });
  });
});

describe('a conflict with another transaction', () => {
  test('is retried under the same write id and token, apart from failed conditions', async () => {
    sdk
      .on(TransactWriteCommand)
      .rejectsOnce(cancelled({ Code: 'TransactionConflict' }, { Code: 'None' }))
      .rejectsOnce(cancelled({ Code: 'None' }, { Code: 'TransactionConflict' }))
      .resolves({});
    expect((await store.transact([put, { ...update, key: { ...key, sk: 'b' } }])).ok).toBe(true);
    expect(tokensSent()).toHaveLength(3);
    expect(new Set(tokensSent()).size).toBe(1);
    sdk.on(PutCommand).rejectsOnce(conflict()).resolves({});
    expect((await store.write(put)).ok).toBe(true);
    const ids = sdk.commandCalls(PutCommand).map((call) => call.args[0].input.Item?.['w'] as string);
    expect(ids).toHaveLength(2);
    expect(new Set(ids).size).toBe(1);
  });

  test('that does not pass ends in an error of its own', async () => {
    sdk.on(PutCommand).rejects(conflict());
    await expect(store.write(put)).rejects.toMatchObject({ name: 'StoreError', code: 'TRANSACTION_CONFLICT' });
    expect(sdk.commandCalls(PutCommand)).toHaveLength(8);
    sdk.on(TransactGetCommand).rejects(cancelled({ Code: 'TransactionConflict' }));
    await expect(store.getSnapshot([key])).rejects.toMatchObject({ code: 'TRANSACTION_CONFLICT' });
  });

  test('beside a failed condition is a failed condition: retrying would not help', async () => {
    sdk
      .on(TransactWriteCommand)
      .rejects(cancelled({ Code: 'TransactionConflict' }, { Code: 'ConditionalCheckFailed', Item: stored }));
    const failed = await store.transact([{ ...update, key: { ...key, sk: 'b' } }, put]);
    expect(failed).toMatchObject({ ok: false, error: { index: 1, current: { revision: 4 } } });
    expect(tokensSent()).toHaveLength(1);
  });
});

describe('errors of the SDK', () => {
  test.each([
    ['ProvisionedThroughputExceededException', 'THROTTLED'],
    ['ThrottlingException', 'THROTTLED'],
    ['RequestLimitExceeded', 'THROTTLED'],
    ['InternalServerError', 'UNAVAILABLE'],
    ['TimeoutError', 'UNAVAILABLE'],
    ['AccessDeniedException', 'UNAVAILABLE'],
  ])('%s means %s', async (name, code) => {
    sdk.onAnyCommand().rejects(named(name));
    await expect(store.get(key)).rejects.toMatchObject({ name: 'StoreError', code });
    await expect(store.write(put)).rejects.toMatchObject({ name: 'StoreError', code });
    await expect(store.transact([put])).rejects.toMatchObject({ name: 'StoreError', code });
  });

  test('inside of a cancelled transaction mean the same', async () => {
    sdk.on(TransactWriteCommand).rejects(cancelled({ Code: 'ThrottlingError' }));
    await expect(store.transact([put])).rejects.toMatchObject({ code: 'THROTTLED' });
    sdk.on(TransactWriteCommand).rejects(cancelled({ Code: 'ItemCollectionSizeLimitExceeded' }));
    await expect(store.transact([put])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('that find the request wrong are a limit or a bug', async () => {
    const invalid = (message: string): Error => Object.assign(new Error(message), { name: 'ValidationException' });
    sdk.on(UpdateCommand).rejects(invalid('Item size to update has exceeded the maximum allowed size'));
    await expect(store.write(update)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    sdk.on(UpdateCommand).rejects(invalid('Invalid UpdateExpression: Syntax error'));
    await expect(store.write(update)).rejects.toThrow(Bug);
  });
});

describe('reads', () => {
  test('are strongly consistent, all of them', async () => {
    sdk.on(GetCommand).resolves({}).on(BatchGetCommand).resolves({}).on(QueryCommand).resolves({});
    await store.get(key);
    await store.getMany([key]);
    await store.query({ table: 'topology', pk: 'P', order: 'forward', limit: 1 });
    expect(sdk.commandCalls(GetCommand)[0]!.args[0].input.ConsistentRead).toBe(true);
    expect(sdk.commandCalls(QueryCommand)[0]!.args[0].input.ConsistentRead).toBe(true);
    const [request] = Object.values(sdk.commandCalls(BatchGetCommand)[0]!.args[0].input.RequestItems ?? {});
    expect(request?.ConsistentRead).toBe(true);
  });

  test('of many keys fetch what DynamoDB left unprocessed', async () => {
    const rest = { [testTables.topology]: { Keys: [{ pk: 'P', sk: 'b' }] } };
    sdk
      .on(BatchGetCommand)
      .resolvesOnce({ Responses: { [testTables.topology]: [stored] }, UnprocessedKeys: rest })
      .resolvesOnce({ UnprocessedKeys: rest })
      .resolves({ Responses: { [testTables.topology]: [{ ...stored, sk: 'b' }] } });
    const items = await store.getMany([key, { ...key, sk: 'b' }, { ...key, sk: 'c' }]);
    expect(items.map((item) => item?.key.sk ?? null)).toEqual(['a', 'b', null]);
  });

  test('whose keys stay unprocessed are throttled, not endless', async () => {
    const rest = { [testTables.topology]: { Keys: [{ pk: 'P', sk: 'a' }] } };
    sdk.on(BatchGetCommand).resolves({ UnprocessedKeys: rest });
    await expect(store.getMany([key])).rejects.toMatchObject({ code: 'THROTTLED' });
    expect(sdk.commandCalls(BatchGetCommand)).toHaveLength(6);
  });

  test('of an item that this store did not write is an error, never a guess', async () => {
    sdk.on(GetCommand).resolves({ Item: { pk: 'P', sk: 'a', n: 1 } });
    await expect(store.get(key)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});
