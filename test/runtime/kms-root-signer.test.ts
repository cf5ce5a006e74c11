import { createPublicKey, sign, verify } from 'node:crypto';
import { GetPublicKeyCommand, KMSClient, SignCommand } from '@aws-sdk/client-kms';
import { mockClient } from 'aws-sdk-client-mock';
import { derToJose } from '../../shared/adapters/der-signature.ts';
import { createKmsRootSigner } from '../../shared/adapters/kms-root-signer.ts';
import { generateSigningKey, publicJwk } from '../../shared/adapters/signing-key.ts';
import { SignerError } from '../../shared/ports.ts';

const key = generateSigningKey();
const spki = (of = key): Uint8Array => createPublicKey(of).export({ type: 'spki', format: 'der' });

function kms() {
  const mock = mockClient(KMSClient);
  mock
    .on(SignCommand)
    .callsFake(({ Message }: { Message: Uint8Array }) => ({ Signature: sign('sha256', Message, key) }));
  mock.on(GetPublicKeyCommand).resolves({ PublicKey: spki() });
  return mock;
}
const rootOf = (keyIds: readonly string[] = ['key-1']) => createKmsRootSigner({ client: new KMSClient({}), keyIds });

describe('a root key in KMS', () => {
  test('signs with the first key, as JOSE wants it', async () => {
    const mock = kms();
    const data = Buffer.from('what is signed');
    const signature = await rootOf(['key-2', 'key-1']).sign(data);
    expect(signature).toHaveLength(64);
    expect(verify('sha256', data, { key: createPublicKey(key), dsaEncoding: 'ieee-p1363' }, signature)).toBe(true);
    expect(mock.commandCalls(SignCommand)[0]?.args[0].input).toMatchObject({
      KeyId: 'key-2',
      MessageType: 'RAW',
      SigningAlgorithm: 'ECDSA_SHA_256',
    });
  });

  test('asks for each public half once, and again after a failure', async () => {
    const mock = kms();
    const second = generateSigningKey();
    mock.on(GetPublicKeyCommand, { KeyId: 'key-1' }).resolves({ PublicKey: spki(second) });
    const root = rootOf(['key-2', 'key-1']);
    const both = [publicJwk(key), publicJwk(second)];
    expect([await root.publicKeys(), await root.publicKeys()]).toEqual([both, both]);
    expect(mock.commandCalls(GetPublicKeyCommand)).toHaveLength(2);

    mock.on(GetPublicKeyCommand, { KeyId: 'key-3' }).rejectsOnce(new Error('away')).resolves({ PublicKey: spki() });
    const patient = rootOf(['key-3']);
    await expect(patient.publicKeys()).rejects.toThrow(SignerError);
    expect(await patient.publicKeys()).toEqual([publicJwk(key)]);
  });

  test.each([
    ['kms:Sign with key-1 failed: AccessDeniedException', 'denied'],
    ['kms:Sign with key-1 failed: ThrottlingException', 'throttled'],
  ])('a failure names action, key and cause: %s', async (message, why) => {
    const mock = kms();
    const name = why === 'denied' ? 'AccessDeniedException' : 'ThrottlingException';
    mock.on(SignCommand).rejects(Object.assign(new Error(why), { name }));
    await expect(rootOf().sign(Buffer.from('x'))).rejects.toThrow(message);
  });

  test('a key of another kind is refused by name', async () => {
    const mock = kms();
    mock.on(GetPublicKeyCommand).resolves({ PublicKey: new Uint8Array([1, 2, 3]) });
    await expect(rootOf().publicKeys()).rejects.toThrow("key-1 can't be read");
  });
});

describe('DER to JOSE', () => {
  test('1,000 signatures come out as they went in', () => {
    for (let n = 0; n < 1000; n++) {
      const data = Buffer.from(String(n));
      const der = sign('sha256', data, key);
      expect(verify('sha256', data, { key: createPublicKey(key), dsaEncoding: 'ieee-p1363' }, derToJose(der))).toBe(
        true,
      );
    }
  });

  test.each([
    ['long, the highest bit set', 32, 0x80],
    ['long, the highest bit clear', 32, 0x7f],
    ['short, the highest bit set', 31, 0xff],
    ['short, the highest bit clear', 30, 0x01],
    ['one byte', 1, 0x05],
  ])('a number that is %s keeps its value: a sign byte goes, leading zeros come back', (_what, length, first) => {
    const number = Buffer.alloc(length, 0xaa);
    number[0] = first;
    const signed = first >= 0x80 ? Buffer.concat([Buffer.of(0), number]) : number;
    const integer = Buffer.concat([Buffer.of(0x02, signed.length), signed]);
    const other = Buffer.concat([Buffer.of(0x02, 32), Buffer.alloc(32, 0x11)]);
    const padded = Buffer.concat([Buffer.alloc(32 - length), number]);
    const sequence = (...parts: Buffer[]): Buffer => {
      const content = Buffer.concat(parts);
      return Buffer.concat([Buffer.of(0x30, content.length), content]);
    };
    const right = Buffer.alloc(32, 0x11);
    expect(Buffer.from(derToJose(sequence(integer, other)))).toEqual(Buffer.concat([padded, right]));
    expect(Buffer.from(derToJose(sequence(other, integer)))).toEqual(Buffer.concat([right, padded]));
  });

  const good = sign('sha256', Buffer.from('x'), key);
  test.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array()],
    ['cut', good.subarray(0, -1)],
    ['with a byte behind', Buffer.concat([good, Buffer.from([0])])],
    ['another tag', Buffer.concat([Buffer.from([0x31]), good.subarray(1)])],
    ['JOSE already', Buffer.alloc(64, 7)],
    ['a number too long', Buffer.from([0x30, 37, 2, 33, ...Buffer.alloc(33, 9), 2, 0])],
    ['zero', Buffer.from([0x30, 6, 2, 1, 0, 2, 1, 0])],
  ])('refused: %s', (_name, der) => expect(() => derToJose(der)).toThrow('not a DER signature'));
});
