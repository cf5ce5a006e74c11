import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import {
  CreateTableCommand,
  DynamoDBClient,
  ListTablesCommand,
  ResourceInUseException,
} from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient } from '@aws-sdk/lib-dynamodb';
import type { StoreTable } from '../../shared/ports.ts';

/** A DynamoDB-compatible engine for tests: the one at DYNAMODB_ENDPOINT, or `@dynoxide/linux-x64` where npm could install it. */

export const testTables: Readonly<Record<StoreTable, string>> = {
  topology: 'test-topology',
  liveness: 'test-liveness',
  catalog: 'test-catalog',
  operations: 'test-operations',
  access: 'test-access',
  events: 'test-events',
};

export interface DynamoEngine {
  readonly client: DynamoDBDocumentClient;
  stop(): Promise<void>;
}

/** Milliseconds for the engine to answer after its start. */
const START_MS_MAX = 10_000;
const POLL_MS = 50;

/** Where the engine is, or why there is none. */
export function findEngine():
  { kind: 'endpoint'; url: string } | { kind: 'binary'; path: string } | { kind: 'none'; why: string } {
  const url = process.env['DYNAMODB_ENDPOINT'];
  if (url !== undefined && url !== '') return { kind: 'endpoint', url };
  try {
    const manifest = createRequire(import.meta.url).resolve('@dynoxide/linux-x64/package.json');
    return { kind: 'binary', path: join(dirname(manifest), 'dynoxide') };
  } catch {
    return { kind: 'none', why: 'no DYNAMODB_ENDPOINT, and the optional package @dynoxide/linux-x64 is not installed' };
  }
}

/** Starts or reaches the engine and creates the tables that are missing. */
export async function startEngine(): Promise<DynamoEngine> {
  const found = findEngine();
  if (found.kind === 'none') throw new Error(found.why);
  if (found.kind === 'endpoint') {
    const client = connect(found.url);
    await createTablesIfMissing(client);
    return { client, stop: async () => client.destroy() };
  }
  const port = await freePort();
  const child = spawn(found.path, ['--host', '127.0.0.1', '--port', String(port)], { stdio: 'ignore' });
  const client = connect(`http://127.0.0.1:${port}`);
  try {
    await untilItAnswers(client, child);
    await createTablesIfMissing(client);
  } catch (error) {
    await stopProcess(child);
    throw error;
  }
  return {
    client,
    stop: async () => {
      client.destroy();
      await stopProcess(child);
    },
  };
}

function connect(endpoint: string): DynamoDBDocumentClient {
  const bare = new DynamoDBClient({
    endpoint,
    region: 'eu-central-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  return DynamoDBDocumentClient.from(bare, { marshallOptions: { removeUndefinedValues: true } });
}

async function createTablesIfMissing(client: DynamoDBDocumentClient): Promise<void> {
  for (const TableName of Object.values(testTables))
    try {
      await client.send(
        new CreateTableCommand({
          TableName,
          BillingMode: 'PAY_PER_REQUEST',
          KeySchema: [
            { AttributeName: 'pk', KeyType: 'HASH' },
            { AttributeName: 'sk', KeyType: 'RANGE' },
          ],
          AttributeDefinitions: [
            { AttributeName: 'pk', AttributeType: 'S' },
            { AttributeName: 'sk', AttributeType: 'S' },
          ],
        }),
      );
    } catch (error) {
      if (!(error instanceof ResourceInUseException)) throw error;
    }
}

async function untilItAnswers(client: DynamoDBDocumentClient, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_MS_MAX;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the DynamoDB engine ended with status ${child.exitCode}`);
    try {
      await client.send(new ListTablesCommand({}));
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}

function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
