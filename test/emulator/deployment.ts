import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { KMSClient } from '@aws-sdk/client-kms';
import { createKmsRootSigner } from '../../shared/adapters/kms-root-signer.ts';
import { createTokenAuthority } from '../../shared/adapters/token-authority.ts';
import { systemClock } from '../../shared/runtime/system.ts';

/** A deployment on an AWS-compatible endpoint, as its users see it: addresses from the outputs of `cdk deploy`. */
export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface CallOptions {
  readonly token?: string;
  readonly body?: unknown;
}

/** An emulator's first call of a function starts its worker. */
const CALL_MS_MAX = 60_000;
/** Asked again at this interval until what is waited for is there. */
const POLL_MS = 500;
const ADMIN_TOKEN_MS = 3_600_000;

export interface Deployment {
  /** Through API Gateway and the authorizer. */
  readonly call: (method: string, path: string, options?: CallOptions) => Promise<Answer>;
  /** By the Function URL of a hot entry: the function checks the token itself. */
  readonly hot: (entry: 'heartbeat' | 'routes', method: string, path: string, options?: CallOptions) => Promise<Answer>;
  readonly admin: string;
  /** Takes what waits in the queue of events: the messages' bodies as the bus sent them. */
  takeEvents(): Promise<readonly BusEvent[]>;
}

export interface BusEvent {
  readonly source: string;
  readonly 'detail-type': string;
  readonly detail: {
    readonly event_id: string;
    readonly event_type: string;
    readonly payload: Readonly<Record<string, unknown>>;
  };
}

export async function openDeployment(endpoint: string, outputsFile: string, stack: string): Promise<Deployment> {
  const outputs = JSON.parse(readFileSync(outputsFile, 'utf8')) as Record<string, Record<string, string>>;
  const output = (part: 'api' | 'operations', name: string): string => {
    const value = outputs[`${stack}-${part}`]?.[name];
    assert(value !== undefined, `the stack ${stack}-${part} has an output ${name}`);
    return value;
  };
  const rest = `${endpoint}/restapis/${output('api', 'ApiId')}/v1/_user_request_`;
  const urls = { heartbeat: output('api', 'HeartbeatUrl'), routes: output('api', 'RoutesUrl') };
  const queueUrl = output('operations', 'EventsQueueUrl');
  const root = createKmsRootSigner({ client: new KMSClient({}), keyIds: [output('api', 'SigningKeyAlias')] });
  const authority = createTokenAuthority({ clock: systemClock, root });
  return {
    call: (method, path, options = {}) => send(method, rest + path, options),
    hot: (entry, method, path, options = {}) => send(method, functionUrl(endpoint, urls[entry]) + path, options),
    admin: await authority.issue({ kind: 'admin', name: 'end-to-end' }, ADMIN_TOKEN_MS),
    takeEvents: () => takeEvents(endpoint, queueUrl),
  };
}

/** The address in the output, or, where no name server knows it, the emulator's path for the same function. */
function functionUrl(endpoint: string, url: string): string {
  const { hostname } = new URL(url);
  const [id = ''] = hostname.split('.');
  return hostname.includes('lambda-url') ? `${endpoint}/_aws/lambda-url/${id}` : url.replace(/\/$/, '');
}

async function send(method: string, url: string, { token, body }: CallOptions): Promise<Answer> {
  const answer = await fetch(url, {
    method,
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(CALL_MS_MAX),
  });
  const text = await answer.text();
  return {
    status: answer.status,
    contentType: answer.headers.get('content-type') ?? '',
    body: (text.startsWith('{') ? JSON.parse(text) : {}) as Answer['body'],
  };
}

/** SQS's JSON protocol by hand: two calls are not worth an SDK client. An emulator asks for no signature. */
async function sqs<T>(endpoint: string, action: string, body: object): Promise<T> {
  const answer = await fetch(endpoint, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-target': `AmazonSQS.${action}`,
      authorization:
        'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0',
    },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(CALL_MS_MAX),
  });
  const text = await answer.text();
  assert.equal(answer.status, 200, `SQS ${action}: ${text}`);
  return (text === '' ? {} : JSON.parse(text)) as T;
}

async function takeEvents(endpoint: string, queueUrl: string): Promise<readonly BusEvent[]> {
  const { Messages = [] } = await sqs<{ Messages?: { Body: string; ReceiptHandle: string }[] }>(
    endpoint,
    'ReceiveMessage',
    { QueueUrl: queueUrl, MaxNumberOfMessages: 10 },
  );
  for (const { ReceiptHandle } of Messages) {
    await sqs(endpoint, 'DeleteMessage', { QueueUrl: queueUrl, ReceiptHandle });
  }
  return Messages.map(({ Body }) => JSON.parse(Body) as BusEvent);
}

/** Asks until there is an answer; fails with `what` after `withinMs`. */
export async function eventually<T>(what: string, withinMs: number, ask: () => Promise<T | undefined>): Promise<T> {
  const endMs = systemClock.monotonicMs() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    assert(systemClock.monotonicMs() < endMs, `${what}: not within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
