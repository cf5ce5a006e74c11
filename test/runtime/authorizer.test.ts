import type { APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { createLocalRootSigner } from '../../shared/adapters/local-root-signer.ts';
import { generateSigningKey } from '../../shared/adapters/signing-key.ts';
import { createTokenAuthority } from '../../shared/adapters/token-authority.ts';
import { err } from '../../shared/domain/result.ts';
import type { Deps } from '../../shared/ports.ts';
import { authorizerHandler } from '../../shared/runtime/authorizer.ts';
import { fromContext } from '../../shared/runtime/principal.ts';
import { useCaseWorld } from '../support/use-case-world.ts';
import type { UseCaseWorld } from '../support/use-case-world.ts';

/** What API Gateway is told of a bearer token. */

const METHOD_ARN = 'arn:aws:execute-api:eu-central-1:123456789012:api/prod/GET/cluster/nodes';
let world: UseCaseWorld;
let deps: Deps;
beforeEach(() => {
  world = useCaseWorld({ items: 'PLAIN' });
  const root = createLocalRootSigner({ privateKey: generateSigningKey() });
  deps = { ...world.deps, tokens: createTokenAuthority({ clock: world.clock, root }) };
});
afterEach(() => world.close());

const authorize = (headers: Readonly<Record<string, string>> | null, over: Partial<Deps> = {}) =>
  authorizerHandler(() => Promise.resolve({ deps: { ...deps, ...over } }) as never)({
    methodArn: METHOD_ARN,
    headers,
  } as unknown as APIGatewayRequestAuthorizerEvent);
const policy = (effect: 'Allow' | 'Deny') => ({
  Version: '2012-10-17',
  Statement: [{ Action: 'execute-api:Invoke', Effect: effect, Resource: METHOD_ARN }],
});

test('the bearer of a token is let through for the method that was called, by name, with what the function needs', async () => {
  const token = await deps.tokens.issue({ kind: 'admin', name: 'ann' }, 60_000);
  for (const name of ['Authorization', 'authorization', 'AUTHORIZATION']) {
    const answer = await authorize({ 'X-First': 'Bearer none', [name]: `Bearer ${token}`, 'X-Last': 'Bearer none' });
    expect(answer).toMatchObject({ principalId: 'admin:ann', policyDocument: policy('Allow') });
    expect(fromContext(answer.context ?? {})).toEqual({ kind: 'admin', name: 'ann' });
  }
});

test('a token in another header, or in none, opens nothing', async () => {
  const token = await deps.tokens.issue({ kind: 'admin', name: 'ann' }, 60_000);
  for (const headers of [null, {}, { 'X-Authorization': `Bearer ${token}` }]) {
    const answer = await authorize(headers);
    expect(answer).toEqual({
      principalId: 'unknown',
      policyDocument: policy('Deny'),
      context: {
        kind: 'refused',
        code: 'UNAUTHENTICATED',
        message: 'Send a token: `Authorization: Bearer <token>`.',
        message_in_json: 'Send a token: `Authorization: Bearer <token>`.',
      },
    });
    expect(fromContext(answer.context ?? {})).toBeNull();
  }
});

test('the reason of a refusal is spelled so that it can stand between the quotes of a JSON string', async () => {
  const message = 'Said "no",\\\nand why.';
  const answer = await authorize(
    { Authorization: 'Bearer abc' },
    { tokens: { ...deps.tokens, verify: async () => err({ code: 'TOKEN_EXPIRED', message }) } },
  );
  expect(answer.context).toMatchObject({ code: 'TOKEN_EXPIRED', message });
  expect(answer.context?.['message_in_json']).toBe('Said \\"no\\",\\\\\\nand why.');
  expect(JSON.parse(`"${String(answer.context?.['message_in_json'])}"`)).toBe(message);
});

test('a failure that says nothing about the token is thrown', async () => {
  const verify = (): Promise<never> => Promise.reject(new Error('the store is away'));
  await expect(authorize({ Authorization: 'Bearer abc' }, { tokens: { ...deps.tokens, verify } })).rejects.toThrow(
    'the store is away',
  );
});
