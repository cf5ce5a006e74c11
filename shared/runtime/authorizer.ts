import type { APIGatewayAuthorizerResult, APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import type { Fault } from '../domain/faults.ts';
import { principalName } from '../usecases/principal.ts';
import { authenticate } from './authenticate.ts';
import { toContext } from './principal.ts';
import type { RuntimeSource } from './runtime.ts';

/**
 * The REQUEST authorizer of API Gateway. It answers who the bearer of the token is; what that kind of caller may do is decided
 * by the function that serves the call. A refusal is a Deny whose context holds `code` and `message`: the gateway's
 * ACCESS_DENIED response shows them (infra/gateway-responses.ts), as the local front door does.
 */
export type AuthorizerHandler = (event: APIGatewayRequestAuthorizerEvent) => Promise<APIGatewayAuthorizerResult>;

export function authorizerHandler(source: RuntimeSource): AuthorizerHandler {
  return async (event) => {
    const { deps } = await source();
    const header = Object.entries(event.headers ?? {}).find(([name]) => name.toLowerCase() === 'authorization')?.[1];
    // A store failure is thrown: the gateway then answers AUTHORIZER_FAILURE (503), which says nothing about the token.
    const caller = await authenticate(deps, header);
    if (!caller.ok) return deny(event.methodArn, caller.error);
    return answer('Allow', event.methodArn, principalName(caller.value), toContext(caller.value));
  };
}

const deny = (methodArn: string, fault: Fault): APIGatewayAuthorizerResult =>
  answer('Deny', methodArn, 'unknown', {
    kind: 'refused',
    code: fault.code,
    message: fault.message,
    message_in_json: insideJsonString(fault.message),
  });

/** The text as it stands between the quotes of a JSON string: the gateway's templates put it there letter by letter. */
const insideJsonString = (text: string): string => JSON.stringify(text).slice(1, -1);

function answer(
  effect: 'Allow' | 'Deny',
  methodArn: string,
  principalId: string,
  context: Readonly<Record<string, string>>,
): APIGatewayAuthorizerResult {
  return {
    principalId,
    policyDocument: {
      Version: '2012-10-17',
      Statement: [{ Action: 'execute-api:Invoke', Effect: effect, Resource: methodArn }],
    },
    context,
  };
}
