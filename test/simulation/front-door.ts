import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import * as heartbeat from '../../functions/api/heartbeat.ts';
import * as routes from '../../functions/api/routes.ts';
import type { HOT_ENTRIES } from '../../infra/front-door.ts';
import { createGateway, matchFrontDoor } from '../../local/gateway.ts';
import type { ApiHandler } from '../../shared/runtime/api-handler.ts';
import type { ApiResult } from '../../shared/runtime/http-event.ts';
import type { RuntimeSource } from '../../shared/runtime/runtime.ts';
import type { NetworkAnswer, NetworkRequest } from './network.ts';

/** Where the hot calls of a run come in: by Function URLs, as in the cloud, or with all others through the gateway, as on one machine. */
export type HotCalls = 'FUNCTION_URL' | 'GATEWAY';

export type FrontDoor = (request: NetworkRequest) => Promise<NetworkAnswer>;

/** What answers requests inside one warm environment: the production handlers, each behind the event that it gets in the cloud. */
export function createFrontDoor(source: RuntimeSource, hotCalls: HotCalls): FrontDoor {
  const gateway = createGateway(source);
  const hot: Readonly<Record<string, ApiHandler>> =
    hotCalls === 'GATEWAY'
      ? {}
      : ({ heartbeat: heartbeat.create(source), routes: routes.create(source) } satisfies Readonly<
          Record<(typeof HOT_ENTRIES)[number], ApiHandler>
        >);
  return async (request) => {
    const at = request.path.indexOf('?');
    const path = at < 0 ? request.path : request.path.slice(0, at);
    const query = at < 0 ? '' : request.path.slice(at + 1);
    const handler = hot[matchFrontDoor(path).entry];
    if (handler !== undefined) {
      const { deps } = await source();
      return answerOf(await handler(functionUrlEvent(request, { path, query, requestId: deps.random.hex(16) })));
    }
    const { method, headers, body } = request;
    return answerOf(await gateway.handle({ method, path, query, headers: Object.entries(headers), body }));
  };
}

const FUNCTION_URL_HOST = 'hot-calls.lambda-url.local';

/** An event of payload format 2.0, without a stage (AWS Lambda Developer Guide, "Invoking Lambda function URLs"). */
function functionUrlEvent(
  { method, headers, body }: NetworkRequest,
  { path, query, requestId }: { readonly path: string; readonly query: string; readonly requestId: string },
): APIGatewayProxyEventV2 {
  return {
    version: '2.0',
    routeKey: '$default',
    rawPath: path,
    rawQueryString: query,
    headers,
    requestContext: {
      accountId: 'anonymous',
      apiId: 'hot-calls',
      domainName: FUNCTION_URL_HOST,
      domainPrefix: 'hot-calls',
      http: { method, path, protocol: 'HTTP/1.1', sourceIp: '127.0.0.1', userAgent: '' },
      requestId,
      routeKey: '$default',
      stage: '$default',
      time: '',
      timeEpoch: 0,
    },
    ...(body === null ? {} : { body }),
    isBase64Encoded: false,
  };
}

/** Names of headers are in lower case on the simulated wire. */
function answerOf({ statusCode, headers, body }: ApiResult): NetworkAnswer {
  const lowered: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers ?? {})) lowered[name.toLowerCase()] = String(value);
  return { status: statusCode, headers: lowered, body };
}
