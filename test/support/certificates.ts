import type { KeyObject } from 'node:crypto';
import { generateSigningKey, jwsOf, jwsSigningInput, publicJwk, signEs256 } from '../../shared/adapters/signing-key.ts';
import { CERTIFICATE_TYPE } from '../../shared/contracts/certificates.ts';

/** A root key, a key that it certified, and what either signs: good ones, and whatever else a test wants. */
export function certifiedKeys(nowS: () => number) {
  const root = generateSigningKey();
  const { kid } = publicJwk(root);
  const key = generateSigningKey();
  const certified = publicJwk(key);
  const jws = (header: object, payload: object, by: KeyObject): string => {
    const input = jwsSigningInput(header, payload);
    return jwsOf(input, signEs256(by, Buffer.from(input)));
  };
  const certificate = (claims: object = {}, header: object = {}, by: KeyObject = root): string => {
    const { kty, crv, x, y } = certified;
    const payload = { iss: 'shardkeeper', purpose: 'node', key: { kty, crv, x, y }, iat: nowS(), exp: nowS() + 60 };
    return jws({ alg: 'ES256', typ: CERTIFICATE_TYPE, kid, ...header }, { ...payload, ...claims }, by);
  };
  return {
    root,
    kid,
    key,
    certified,
    certificate,
    /** A token by the certified key, or by the root where there is no certificate. */
    token: (claims: object, cert?: unknown, by: KeyObject = cert === undefined ? root : key): string =>
      jws(
        { alg: 'ES256', typ: 'JWT', kid, ...(cert === undefined ? {} : { cert }) },
        { iss: 'shardkeeper', iat: nowS(), exp: nowS() + 60, ...claims },
        by,
      ),
    /** A certificate that the root signed, of exactly so many characters. */
    certificateOf: (chars: number): string => {
      // Three bytes of the payload are four characters: the header takes up what is left over.
      for (let inHeader = 0; inHeader < 4; inHeader++) {
        const padded = (pad: number): string => certificate({ pad: 'x'.repeat(pad) }, { pad: 'x'.repeat(inHeader) });
        const about = Math.floor(((chars - padded(0).length) * 3) / 4);
        for (let pad = about - 3; pad <= about + 3; pad++) {
          const text = padded(pad);
          if (text.length === chars) return text;
        }
      }
      throw new Error(`no certificate has ${chars} characters`);
    },
  };
}
