import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { KeyRing } from '../../../data-node/agent/keys.ts';
import { TokenVerifier } from '../../../data-node/agent/token-verifier.ts';
import { generateSigningKey } from '../../../shared/adapters/signing-key.ts';
import { certifiedKeys } from '../../support/certificates.ts';
import { ManualClock } from '../../support/environment.ts';

/** Who presents a token to a data node, and what somebody is told whose token does not count. */

let clock: ManualClock;
beforeEach(() => {
  clock = new ManualClock();
});
const nowS = (): number => Math.floor(clock.wallMs() / 1000);
const { root, certificate, token } = certifiedKeys(nowS);

const ringOf = (...roots: readonly KeyObject[]): KeyRing => ({
  keys: roots.map((key, index) => ({ kid: `k${index}`, key: createPublicKey(key) })),
});
const verifierOf = (ring: KeyRing = ringOf(root)): TokenVerifier => {
  const verifier = new TokenVerifier(clock);
  verifier.useKeys(ring);
  return verifier;
};
const NODE = { kind: 'node', sub: 'node-1', node_epoch: 7, incarnation: 'i-1' };
const DATA = { kind: 'data', sub: 'app', tables: ['cities'], access: 'read' };
/** Who the caller is, or code and message of the refusal. */
const told = (verifier: TokenVerifier, header: string | undefined): unknown => {
  const caller = verifier.verify(header);
  return caller.ok ? caller.value : `${caller.error.code}: ${caller.error.message}`;
};
const asked = (text: string): unknown => told(verifierOf(), `Bearer ${text}`);

const NODE_CALLER = { kind: 'node', nodeId: 'node-1', nodeEpoch: 7 };
const CLIENT = { kind: 'client', name: 'app', tables: ['cities'], access: 'read' };
const NEEDED = 'UNAUTHENTICATED: a bearer token of the control plane is needed';
const NOT_OURS = 'UNAUTHENTICATED: the token is not signed by a key of this cluster';
const EXPIRED = 'UNAUTHENTICATED: the token has expired';
const OTHER_PURPOSE = 'UNAUTHENTICATED: the key that signed the token is certified for another purpose';
const OTHER_KIND = 'FORBIDDEN: the token is of a kind that data nodes do not serve, or has no expiry';

test('a token of the root, or of a key that it certified for that kind, tells who its bearer is', () => {
  expect(asked(token(NODE))).toEqual(NODE_CALLER);
  expect(asked(token(DATA))).toEqual(CLIENT);
  expect(asked(token(NODE, certificate({ purpose: 'node' })))).toEqual(NODE_CALLER);
  expect(asked(token(DATA, certificate({ purpose: 'data' })))).toEqual(CLIENT);
  expect(asked(token({ ...DATA, access: 'read-write' }))).toEqual({ ...CLIENT, access: 'read-write' });
});

test.each<[string, string | undefined]>([
  ['nothing', undefined],
  ['an empty header', ''],
  ['no scheme', 'abc'],
  ['another scheme', 'Basic abc'],
  ['something before the scheme', 'x Bearer abc'],
  ['something behind the token', 'Bearer abc def'],
])('%s is no bearer token', (_what, header) => {
  expect(told(verifierOf(), header)).toBe(NEEDED);
});

test.each<[string, () => string, string]>([
  ['of a key certified for data', () => token(NODE, certificate({ purpose: 'data' })), OTHER_PURPOSE],
  ['of a key certified for nodes', () => token(DATA, certificate({ purpose: 'node' })), OTHER_PURPOSE],
  ['of a key certified for commands', () => token(DATA, certificate({ purpose: 'command' })), OTHER_PURPOSE],
  ['under a certificate by a stranger', () => token(NODE, certificate({}, {}, generateSigningKey())), NOT_OURS],
  ['under a certificate that has ended', () => token(NODE, certificate({ exp: nowS() })), NOT_OURS],
  ['under a certificate that is no text', () => token(NODE, { nested: 'x' }), NOT_OURS],
  ['by another key than the certified', () => token(NODE, certificate(), generateSigningKey()), NOT_OURS],
  ['by a stranger', () => token(NODE, undefined, generateSigningKey()), NOT_OURS],
  ['of another issuer', () => token({ ...NODE, iss: 'node' }), NOT_OURS],
  ['that is a certificate', () => certificate(NODE), NOT_OURS],
  ['whose payload is no JSON', () => `${token(NODE).split('.')[0]}.AAAA.AAAA`, NOT_OURS],
  ['that is none at all', () => 'x.y.z', NOT_OURS],
  ['as long as any', () => 'a'.repeat(16_384), NOT_OURS],
  ['longer than any', () => 'a'.repeat(16_385), 'UNAUTHENTICATED: the token is too long'],
  ['that has expired', () => token({ ...NODE, exp: nowS() }), EXPIRED],
  ['of an administrator', () => token({ kind: 'admin', sub: 'ann' }), OTHER_KIND],
  ['of nobody', () => token({ ...NODE, sub: '' }), OTHER_KIND],
  ['of a client without a name', () => token({ ...DATA, sub: '' }), OTHER_KIND],
  ['of a node without an epoch', () => token({ ...NODE, node_epoch: undefined }), OTHER_KIND],
  ['of a node with an epoch that there is not', () => token({ ...NODE, node_epoch: -1 }), OTHER_KIND],
  ['of a client for no table', () => token({ ...DATA, tables: [] }), OTHER_KIND],
  ['of a client with another access', () => token({ ...DATA, access: 'write' }), OTHER_KIND],
  ['of a node without an expiry', () => token({ ...NODE, exp: undefined }), OTHER_KIND],
  ['of a client without an expiry', () => token({ ...DATA, exp: undefined }), OTHER_KIND],
])('a token %s is refused', (_what, made, refusal) => {
  expect(asked(made())).toBe(refusal);
});

test('a token of the first node epoch counts', () => {
  expect(asked(token({ ...NODE, node_epoch: 0 }))).toEqual({ ...NODE_CALLER, nodeEpoch: 0 });
});

test('any root of the ring may have signed; an expired token says so whichever it was', () => {
  const verifier = verifierOf(ringOf(generateSigningKey(), root, generateSigningKey()));
  expect(told(verifier, `Bearer ${token(NODE)}`)).toEqual(NODE_CALLER);
  expect(told(verifier, `Bearer ${token({ ...NODE, exp: nowS() - 1 })}`)).toBe(EXPIRED);
  expect(told(new TokenVerifier(clock), `Bearer ${token(NODE)}`)).toBe(NOT_OURS);
});

describe('a token that came before', () => {
  test('ends when it said it would, to the second', () => {
    const verifier = verifierOf();
    const header = `Bearer ${token(NODE)}`;
    expect(told(verifier, header)).toEqual(NODE_CALLER);
    clock.advance(59_999);
    expect(told(verifier, header)).toEqual(NODE_CALLER);
    clock.advance(1);
    expect(told(verifier, header)).toBe(EXPIRED);
    expect(told(verifier, header)).toBe(EXPIRED);
  });

  test('ends with the certificate of the key that signed it', () => {
    const verifier = verifierOf();
    const header = `Bearer ${token({ ...NODE, exp: nowS() + 3600 }, certificate({ exp: nowS() + 10 }))}`;
    expect(told(verifier, header)).toEqual(NODE_CALLER);
    clock.advance(10_000);
    expect(told(verifier, header)).toBe(EXPIRED);
    expect(told(verifier, header)).toBe(NOT_OURS); // verified anew, which tells more
  });

  test('is not verified again', () => {
    // A token may not be used before its `nbf`: one that is verified again would not count on a clock that was set back.
    const verifier = verifierOf();
    const header = `Bearer ${token({ ...NODE, nbf: nowS() })}`;
    expect(told(verifier, header)).toEqual(NODE_CALLER);
    clock.advance(-10_000);
    expect(told(verifier, header)).toEqual(NODE_CALLER);
    expect(told(verifierOf(), header)).toBe(NOT_OURS);
  });

  test('counts no more under other keys, nor does what they certified', () => {
    const verifier = verifierOf();
    const cert = certificate();
    const header = `Bearer ${token(NODE, cert)}`;
    expect(told(verifier, header)).toEqual(NODE_CALLER);
    verifier.useKeys(ringOf(generateSigningKey()));
    expect(told(verifier, header)).toBe(NOT_OURS);
    expect(told(verifier, `Bearer ${token({ ...NODE, node_epoch: 8 }, cert)}`)).toBe(NOT_OURS);
  });
});
