/** ECDSA signatures: KMS answers ASN.1 DER (RFC 3279, 2.2.3), JOSE wants r || s (RFC 7518, 3.4). */

const SEQUENCE = 0x30;
const INTEGER = 0x02;
/** Bytes of a number on P-256. */
const COORDINATE_BYTES = 32;

/** r || s of a DER signature on P-256. Throws if it is none: lengths, tags and ranges are checked, trailing bytes refused. */
export function derToJose(der: Uint8Array): Uint8Array {
  // SEQUENCE { INTEGER r, INTEGER s } of at most 70 bytes: every length has one byte.
  if (der[0] !== SEQUENCE || der[1] !== der.length - 2) throw malformed();
  const jose = new Uint8Array(2 * COORDINATE_BYTES);
  let at = 2;
  for (const end of [COORDINATE_BYTES, 2 * COORDINATE_BYTES]) {
    const length = der[at + 1];
    if (der[at] !== INTEGER || length === undefined || length === 0 || at + 2 + length > der.length) throw malformed();
    let bytes = der.subarray(at + 2, at + 2 + length);
    at += 2 + length;
    // A leading zero only keeps the sign bit clear.
    if (bytes[0] === 0) bytes = bytes.subarray(1);
    if (bytes.length === 0 || bytes.length > COORDINATE_BYTES) throw malformed();
    jose.set(bytes, end - bytes.length);
  }
  if (at !== der.length) throw malformed();
  return jose;
}

const malformed = (): Error => new Error('not a DER signature on P-256');
