import assert from 'node:assert/strict';
import { eventually } from './waiting.ts';

/** The queue in which every committed event arrives. */
export interface BusEvent {
  readonly source: string;
  readonly 'detail-type': string;
  readonly detail: {
    readonly event_id: string;
    readonly event_type: string;
    readonly payload: Readonly<Record<string, unknown>>;
  };
}

const CALL_MS_MAX = 30_000;
/** What SQS gives at most at once; reads until a batch is empty, or this many batches. */
const MESSAGES_MAX = 10;
const BATCHES_MAX = 100;

export class EventsQueue {
  private readonly endpoint: string;
  private readonly queueUrl: string;
  private readonly taken: BusEvent[] = [];

  constructor(endpoint: string, queueUrl: string) {
    this.endpoint = endpoint;
    this.queueUrl = queueUrl;
  }

  /** An event of this type with these fields in its payload, taken now or before. */
  event(type: string, payload: Readonly<Record<string, unknown>>, withinMs: number): Promise<BusEvent> {
    const fields = Object.entries(payload);
    return eventually(`event ${type} ${JSON.stringify(payload)} in the queue`, withinMs, async () => {
      await this.takeAll();
      return this.taken.find(
        (event) =>
          event['detail-type'] === type && fields.every(([name, value]) => event.detail.payload[name] === value),
      );
    });
  }

  private async takeAll(): Promise<void> {
    for (let batch = 0; batch < BATCHES_MAX; batch++) {
      const { Messages = [] } = await this.sqs<{ Messages?: { Body: string; ReceiptHandle: string }[] }>(
        'ReceiveMessage',
        { MaxNumberOfMessages: MESSAGES_MAX },
      );
      for (const { Body, ReceiptHandle } of Messages) {
        this.taken.push(JSON.parse(Body) as BusEvent);
        await this.sqs('DeleteMessage', { ReceiptHandle });
      }
      if (Messages.length === 0) return;
    }
  }

  /** SQS's JSON protocol by hand: two calls are not worth an SDK client. An emulator checks no signature. */
  private async sqs<T>(action: string, body: object): Promise<T> {
    const answer = await fetch(this.endpoint, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-amz-json-1.0',
        'x-amz-target': `AmazonSQS.${action}`,
        authorization:
          'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0',
      },
      body: JSON.stringify({ QueueUrl: this.queueUrl, ...body }),
      signal: AbortSignal.timeout(CALL_MS_MAX),
    });
    const text = await answer.text();
    assert.equal(answer.status, 200, `SQS ${action}: ${text}`);
    return (text === '' ? {} : JSON.parse(text)) as T;
  }
}
