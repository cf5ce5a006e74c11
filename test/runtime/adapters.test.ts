import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  DescribeExecutionCommand,
  ExecutionAlreadyExists,
  SendTaskFailureCommand,
  SendTaskSuccessCommand,
  SFNClient,
  StartExecutionCommand,
  TaskTimedOut,
} from '@aws-sdk/client-sfn';
import { mockClient } from 'aws-sdk-client-mock';
import { createHttpNodeClient } from '../../shared/adapters/node-http.ts';
import type { HttpNodeClient } from '../../shared/adapters/node-http.ts';
import { createStepFunctionsStarter } from '../../shared/adapters/step-functions.ts';
import { nodeId, operationId } from '../../shared/domain/ids.ts';

describe('push to a node', () => {
  let server: Server;
  let client: HttpNodeClient;
  let listener: RequestListener;
  let port: number;
  beforeAll(async () => {
    server = createServer((request, response) => listener(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
    client = createHttpNodeClient({ timeoutMs: 200 });
  });
  afterAll(async () => {
    client.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const push = (to = port) =>
    client.push({ nodeId: nodeId('node-1'), host: '127.0.0.1', port: to }, [{ command_id: 'c-1' }]);
  const ack = { command_id: 'c-1', outcome: 'DONE', code: null, message: null, receipt: null };

  test('carries the commands and brings the acknowledgements', async () => {
    let seen = '';
    listener = (request, response) => {
      request.on('data', (chunk: Buffer) => (seen += chunk.toString()));
      request.on('end', () => response.end(JSON.stringify({ acks: [ack] })));
    };
    expect(await push()).toEqual({ ok: true, value: [ack] });
    expect(JSON.parse(seen)).toEqual({ commands: [{ command_id: 'c-1' }] });
  });

  test.each<[string, RequestListener]>([
    ['an answer that never comes', () => undefined],
    ['an error status', (_request, response) => response.writeHead(503).end('{}')],
    ['no JSON', (_request, response) => response.end('<html>')],
    ['an answer of another protocol', (_request, response) => response.end('{"acks":[{}]}')],
    ['an answer without end', (_request, response) => response.write('{"acks":[' + ' '.repeat(2_000_000))],
    ['a connection that breaks', (request) => request.socket.destroy()],
  ])('%s: unreachable, never a throw', async (_name, behaviour) => {
    listener = behaviour;
    expect(await push()).toMatchObject({ ok: false, error: { code: 'NODE_UNREACHABLE' } });
  });

  test('nobody listens: unreachable', async () => {
    expect(await push(1)).toMatchObject({ ok: false, error: { code: 'NODE_UNREACHABLE' } });
  });
});

describe('operations as Step Functions executions', () => {
  const sfn = mockClient(SFNClient);
  const starter = createStepFunctionsStarter({
    client: new SFNClient({ region: 'eu-central-1' }),
    stateMachineArnPrefix: 'arn:aws:states:eu-central-1:1:stateMachine:sk-',
  });
  const id = operationId('op-1');
  beforeEach(() => sfn.reset());

  test('the execution is named after the operation and carries its id alone', async () => {
    sfn.on(StartExecutionCommand).resolves({ executionArn: 'arn:x' });
    expect(await starter.start('create-table', id)).toEqual({ executionArn: 'arn:x' });
    expect(sfn.commandCalls(StartExecutionCommand)[0]?.args[0].input).toEqual({
      stateMachineArn: 'arn:aws:states:eu-central-1:1:stateMachine:sk-create-table',
      name: 'op-1',
      input: '{"operation_id":"op-1"}',
    });
  });

  test('an execution that exists is success, after a look', async () => {
    sfn.on(StartExecutionCommand).rejects(new ExecutionAlreadyExists({ message: 'there', $metadata: {} }));
    const executionArn = 'arn:aws:states:eu-central-1:1:execution:sk-create-table:op-1';
    sfn.on(DescribeExecutionCommand, { executionArn }).resolves({ executionArn });
    expect(await starter.start('create-table', id)).toEqual({ executionArn });
  });

  test('any other failure to start is thrown', async () => {
    sfn.on(StartExecutionCommand).rejects(new Error('no route'));
    await expect(starter.start('create-table', id)).rejects.toThrow('no route');
  });

  test('a token that is over is ignored, another failure is not', async () => {
    sfn.on(SendTaskSuccessCommand).rejects(new TaskTimedOut({ message: 'late', $metadata: {} }));
    await expect(starter.succeedTask('t', {})).resolves.toBeUndefined();
    sfn.on(SendTaskFailureCommand).rejects(new Error('throttled'));
    await expect(starter.failTask('t', 'CODE', 'why')).rejects.toThrow('throttled');
  });
});
