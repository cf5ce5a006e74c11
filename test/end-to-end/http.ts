export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface CallOptions {
  /** Missing: no Authorization header. */
  readonly token?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An emulator's first call of a function starts its worker. */
const CALL_MS_MAX = 60_000;

/** One request. A body that is no JSON object is shown as `{}`: statuses tell of those. */
export async function send(method: string, url: string, options: CallOptions = {}): Promise<Answer> {
  const { token, body, headers = {} } = options;
  const answer = await fetch(url, {
    method,
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(CALL_MS_MAX),
  });
  const text = await answer.text();
  return {
    status: answer.status,
    contentType: answer.headers.get('content-type') ?? '',
    body: text.startsWith('{') ? (JSON.parse(text) as Answer['body']) : {},
  };
}
