import type { Call, Caller } from '../../shared/contracts/api/call.ts';
import { calls } from '../../shared/contracts/api/index.ts';
import { nodeEpoch, nodeId } from '../../shared/domain/ids.ts';
import { forbiddenKind, forbiddenNode, fromContext, toContext } from '../../shared/runtime/principal.ts';
import type { OutsidePrincipal } from '../../shared/runtime/principal.ts';

/** The caller between authorizer and function, and what its kind may do. */

const NODE = {
  kind: 'node',
  nodeId: nodeId('node-1'),
  nodeEpoch: nodeEpoch(7),
  incarnation: 'i-1',
  issuedAtMs: 1_700_000_000_000,
  expiresAtMs: 1_700_000_060_000,
} as const;
const principals: readonly OutsidePrincipal[] = [
  { kind: 'admin', name: 'ann' },
  { kind: 'joiner', tokenId: 'jt-1' },
  { kind: 'nodeKey', nodeId: nodeId('node-1') },
  NODE,
];

describe('the context between authorizer and function', () => {
  test.each(principals)('keeps who the caller is: $kind', (principal) => {
    const context = toContext(principal);
    expect(Object.values(context).every((value) => typeof value === 'string')).toBe(true);
    // The gateway adds fields of its own.
    expect(fromContext({ ...context, principalId: 'x', integrationLatency: 0 })).toStrictEqual(principal);
  });

  const context = toContext(NODE);
  test.each<[string, Record<string, unknown>]>([
    ['nothing', {}],
    ['a refusal', { kind: 'refused', code: 'UNAUTHENTICATED' }],
    ['the control plane itself', { kind: 'system', name: 'detector' }],
    ['a data token', { kind: 'data', name: 'app' }],
    ['an administrator without a name', { kind: 'admin' }],
    ['an administrator with an empty name', { kind: 'admin', name: '' }],
    ['a join token without an id', { kind: 'joiner', token_id: '' }],
    ['a node key without a node', { kind: 'nodeKey', node_id: '' }],
    ['a node without an id', { ...context, node_id: '' }],
    ['a node without an incarnation', { ...context, incarnation: '' }],
    ['a node epoch that is not a number', { ...context, node_epoch: 'seven' }],
    ['a node epoch with something behind it', { ...context, node_epoch: '7x' }],
    ['a node epoch with something before it', { ...context, node_epoch: '-7' }],
    ['an empty node epoch', { ...context, node_epoch: '' }],
    ['a node epoch of too many digits', { ...context, node_epoch: '1'.repeat(17) }],
    ['a node without the end of its credential', { ...context, expires_at_ms: undefined }],
    ['a node without the beginning of its credential', { ...context, issued_at_ms: 'x' }],
  ])('that holds %s is of nobody', (_what, spoilt) => {
    expect(fromContext(spoilt)).toBeNull();
  });
});

describe('who may make a call', () => {
  const callOf = (...callers: Caller[]): Call => ({ ...calls.getNode, callers });

  test('is refused nothing', () => {
    for (const principal of principals)
      expect(forbiddenKind(callOf('admin', 'joiner', 'node', 'nodeKey'), principal)).toBeNull();
  });

  test.each<[OutsidePrincipal, readonly Caller[], string]>([
    [
      NODE,
      ['admin'],
      'This call needs an administrator (admin token); the token presented is of a registered node (its credential).',
    ],
    [
      { kind: 'admin', name: 'ann' },
      ['joiner', 'nodeKey'],
      'This call needs the bearer of a join token, or a node that proves itself by its own key; the token presented is of an administrator (admin token).',
    ],
    [
      { kind: 'joiner', tokenId: 'jt-1' },
      ['node'],
      'This call needs a registered node (its credential); the token presented is of the bearer of a join token.',
    ],
    [
      { kind: 'nodeKey', nodeId: nodeId('node-1') },
      ['admin'],
      'This call needs an administrator (admin token); the token presented is of a node that proves itself by its own key.',
    ],
  ])('who may not is told whose token is needed: %j', (principal, callers, message) => {
    expect(forbiddenKind(callOf(...callers), principal)).toMatchObject({
      kind: 'FORBIDDEN',
      code: 'FORBIDDEN',
      message,
      detail: { needed: callers },
    });
  });
});

describe('a node speaks for itself only (I-8)', () => {
  const input = (params: Record<string, unknown>, body: unknown = undefined) => ({ params, query: {}, body });
  const post: Call = { ...calls.registerNode, method: 'POST' };
  const KEY: OutsidePrincipal = { kind: 'nodeKey', nodeId: nodeId('node-1') };

  test.each<[string, Record<string, unknown>, unknown]>([
    ['itself in the path', { node_id: 'node-1' }, undefined],
    ['itself in the body', {}, { node_id: 'node-1' }],
    ['itself in both', { node_id: 'node-1' }, { node_id: 'node-1', more: 1 }],
    ['nobody', { shard_id: 's-1' }, { more: 1 }],
    ['nobody: no body', {}, undefined],
    ['nobody: null', {}, null],
    ['nobody: a text', {}, 'node_id'],
    ['nobody: a number', {}, 5],
    ['nobody: a list', {}, [{ node_id: 'node-2' }]],
  ])('it may name %s', (_what, params, body) => {
    for (const principal of [NODE, KEY]) expect(forbiddenNode(post, principal, input(params, body))).toBeNull();
  });

  test.each<[string, Record<string, unknown>, unknown]>([
    ['in the path', { node_id: 'node-2' }, undefined],
    ['in the body', {}, { node_id: 'node-2' }],
    ['in the body, itself in the path', { node_id: 'node-1' }, { node_id: 'node-2' }],
    ['in the path, itself in the body', { node_id: 'node-2' }, { node_id: 'node-1' }],
    ['by something that is no id', {}, { node_id: null }],
  ])('it may not name another %s', (_what, params, body) => {
    for (const principal of [NODE, KEY])
      expect(forbiddenNode(post, principal, input(params, body))).toMatchObject({
        kind: 'FORBIDDEN',
        code: 'FORBIDDEN',
        message: 'The credential of node node-1 speaks for that node only.',
      });
  });

  test('it may read of others, and an administrator and a joining node may name any', () => {
    const other = input({ node_id: 'node-2' }, { node_id: 'node-2' });
    for (const principal of [NODE, KEY]) {
      expect(forbiddenNode({ ...post, method: 'GET' }, principal, other)).toBeNull();
      for (const method of ['PUT', 'DELETE'] as const)
        expect(forbiddenNode({ ...post, method }, principal, other)).not.toBeNull();
    }
    expect(forbiddenNode(post, { kind: 'admin', name: 'ann' }, other)).toBeNull();
    expect(forbiddenNode(post, { kind: 'joiner', tokenId: 'jt-1' }, other)).toBeNull();
  });
});
