import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { deriveSigningKey } from '../../shared/adapters/signing-key.ts';
import { createTokenAuthority } from '../../shared/adapters/token-authority.ts';
import { systemClock } from '../../shared/runtime/system.ts';

/**
 * Calls a deployment on an AWS-compatible endpoint: API Gateway -> authorizer -> Lambda -> table and back. Run by .ci/emulator
 * with the outputs of the deployment.
 */
const endpoint = process.env['AWS_ENDPOINT_URL'];
const outputsFile = process.argv[2];
assert(
  endpoint !== undefined && outputsFile !== undefined,
  'usage: AWS_ENDPOINT_URL=... node test/emulator/smoke.ts OUTPUTS',
);
const outputs = JSON.parse(readFileSync(outputsFile, 'utf8')) as Record<string, Record<string, string>>;
const { ApiId = '', SigningSecretArn = '' } = outputs['shardkeeper-api'] ?? {};
assert(ApiId !== '' && SigningSecretArn !== '', 'the deployment has no outputs');

/** An emulator's first call of a function starts its worker. */
const CALL_MS_MAX = 60_000;
const base = `${endpoint}/restapis/${ApiId}/v1/_user_request_`;

async function call(method: string, path: string, token?: string, body?: unknown) {
  const answer = await fetch(base + path, {
    method,
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(CALL_MS_MAX),
  });
  const text = await answer.text();
  process.stdout.write(`${method} ${path}: ${answer.status} ${text.slice(0, 160)}\n`);
  return { status: answer.status, body: (text.startsWith('{') ? JSON.parse(text) : {}) as Record<string, unknown> };
}

const secret = await new SecretsManagerClient({}).send(new GetSecretValueCommand({ SecretId: SigningSecretArn }));
const authority = createTokenAuthority({ clock: systemClock, privateKey: deriveSigningKey(secret.SecretString ?? '') });
const admin = await authority.issue({ kind: 'admin', name: 'smoke' }, 600_000);

assert.equal((await call('GET', '/healthz')).status, 200, 'public call');
assert.equal((await call('GET', '/nothing')).status, 404, 'unknown path');
assert.ok([401, 403].includes((await call('GET', '/cluster/nodes')).status), 'no token');
// An emulator without gateway responses answers a denial with 403.
assert.ok([401, 403].includes((await call('GET', '/cluster/nodes', 'not.a.token')).status), 'bad token');
assert.deepEqual((await call('GET', '/config/replication', admin)).body, {
  replication_factor: 3,
  strategy: 'rack-aware',
});
assert.equal(
  (await call('POST', '/cluster/join-tokens', admin, { lifetime_seconds: 'x' })).body['field'],
  'lifetime_seconds',
);

const joinToken = (await call('POST', '/cluster/join-tokens', admin, {})).body['join_token'];
assert.equal(typeof joinToken, 'string');
const node = { node_id: 'node-1', host: '127.0.0.1', port: 7001, zone: 'a' };
const registered = await call('POST', '/cluster/nodes/register', joinToken as string, node);
assert.equal(registered.status, 200, 'registration: several writes in one transaction');
const credential = registered.body['credential'] as string;
const lease = { node_epoch: registered.body['node_epoch'], incarnation: registered.body['incarnation'] };
const beat = await call('POST', '/cluster/nodes/node-1/heartbeat', credential, {
  ...lease,
  sequence: 1,
  attestation: 1,
});
assert.equal(beat.body['sequence'], 1, 'a conditional write renews the lease');
assert.equal((await call('GET', '/shards/x/leader', credential)).status, 405);
assert.equal((await call('POST', '/tables', credential, { table: 't' })).status, 403, 'a node may not create tables');
const { nodes } = (await call('GET', '/cluster/nodes', admin)).body as { nodes: { node_id: string; status: string }[] };
assert.deepEqual(
  nodes.map(({ node_id, status }) => ({ node_id, status })),
  [{ node_id: 'node-1', status: 'HEALTHY' }],
);
process.stdout.write('The deployment answers as it should.\n');
