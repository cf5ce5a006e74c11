import fc from 'fast-check';
import { compareKeys, decodeKey, encodeKey, utf8Bytes } from '../../shared/domain/keys.ts';
import { encodedKey } from '../../shared/domain/ids.ts';

describe('keys', () => {
  test('strings are ordered as their UTF-8 bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
        const expected = Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b)));
        return (
          Math.sign(compareKeys(encodedKey(a), encodedKey(b))) === expected && utf8Bytes(a) === Buffer.byteLength(a)
        );
      }),
    );
  });

  test('int64 keys keep their order in the encoding and come back unchanged', () => {
    const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    fc.assert(
      fc.property(int64, int64, (a, b) => {
        const [left, right] = [encodeKey('int64', a.toString()), encodeKey('int64', b.toString())];
        if (!left.ok || !right.ok) return false;
        const order = a < b ? -1 : a > b ? 1 : 0;
        return (
          Math.sign(compareKeys(left.value, right.value)) === order && decodeKey('int64', left.value) === a.toString()
        );
      }),
    );
  });

  test.each([
    ['string', '', 'KEY_EMPTY'],
    ['string', 'x'.repeat(1001), 'KEY_TOO_LONG'],
    ['string', 'é'.repeat(501), 'KEY_TOO_LONG'],
    ['string', '\uD800', 'KEY_NOT_WELL_FORMED'],
    ['int64', '', 'KEY_NOT_INT64'],
    ['int64', '1.5', 'KEY_NOT_INT64'],
    ['int64', '007', 'KEY_NOT_INT64'],
    ['int64', '-0', 'KEY_NOT_INT64'],
    ['int64', '9223372036854775808', 'KEY_NOT_INT64'],
    ['int64', ' 1', 'KEY_NOT_INT64'],
  ] as const)('%s key %j is refused as %s', (type, key, code) => {
    expect(encodeKey(type, key)).toMatchObject({ ok: false, error: { code } });
  });

  test('the limits themselves are allowed', () => {
    expect(encodeKey('string', 'x'.repeat(1000)).ok).toBe(true);
    expect(encodeKey('int64', '-9223372036854775808')).toEqual({ ok: true, value: '0000000000000000' });
    expect(encodeKey('int64', '9223372036854775807')).toEqual({ ok: true, value: 'ffffffffffffffff' });
  });
});
