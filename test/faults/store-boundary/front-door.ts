import { createGateway } from '../../../local/gateway.ts';
import type { GatewayRequest } from '../../../local/gateway.ts';
import { calls } from '../../../shared/contracts/api/index.ts';
import type { Call, CallInput } from '../../../shared/contracts/api/call.ts';
import type { CallName, Calls } from '../../../shared/contracts/api/index.ts';
import { err, ok } from '../../../shared/domain/result.ts';
import type { Deps, Principal } from '../../../shared/ports.ts';
import type { HttpAnswer } from '../../../shared/runtime/problem.ts';
import { fixedRuntime } from '../../../shared/runtime/runtime.ts';

/** Requests as clients send them: through the authorizer, then the entry that serves the path, in the process whose calls go wrong. */

/** A bearer token of these stories says who its bearer is; every other one is not known. */
export const tokenOf = (principal: Principal): string =>
  Buffer.from(JSON.stringify(principal), 'utf8').toString('base64url');

function principalIn(token: string): Principal | null {
  try {
    return JSON.parse(Buffer.from(token, 'base64url').toString('utf8')) as Principal;
  } catch {
    return null;
  }
}

const withTokens = (deps: Deps): Deps => ({
  ...deps,
  tokens: {
    ...deps.tokens,
    verify: (token) => {
      const principal = principalIn(token);
      return Promise.resolve(
        principal === null ? err({ code: 'TOKEN_INVALID', message: 'not one of ours' }) : ok(principal),
      );
    },
  },
});

/** A valid request of a call; `headers` besides the token. */
export function requestOf<N extends CallName>(
  name: N,
  { params, query, body }: CallInput<Calls[N]>,
  token: string,
  headers: Readonly<Record<string, string>>,
): GatewayRequest {
  const call: Call = calls[name];
  const inPath = (params ?? {}) as Readonly<Record<string, string>>;
  const inQuery = Object.entries((query ?? {}) as Readonly<Record<string, unknown>>).map(
    ([key, value]): [string, string] => [key, String(value)],
  );
  return {
    method: call.method,
    path: call.path.replace(/\{(\w+)\}/g, (_, param: string) => encodeURIComponent(inPath[param] ?? '')),
    query: new URLSearchParams(inQuery).toString(),
    headers: [['Authorization', `Bearer ${token}`], ...Object.entries(headers)],
    body: body === undefined ? null : JSON.stringify(body),
  };
}

/** Sends a request; an answer outside the contract of its call is a 500. */
export async function sendTo(deps: Deps, request: GatewayRequest): Promise<HttpAnswer> {
  const gateway = createGateway(fixedRuntime({ deps: withTokens(deps), answers: 'checked' }));
  const { statusCode, headers = {}, body } = await gateway.handle(request);
  const named = Object.entries(headers).map(([key, value]): [string, string] => [key.toLowerCase(), String(value)]);
  return { status: statusCode, headers: Object.fromEntries(named), body: JSON.parse(body) as HttpAnswer['body'] };
}
