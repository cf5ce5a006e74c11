import crypto from 'node:crypto';
import type { KeyObject, Verify } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

/**
 * Simulated processes share what they found out about keys and signatures. A verdict follows from key, data and signature alone, so it
 * is the same for whoever asks; in production each process finds out for itself, and its own memory is tested with real ones. Signatures
 * stay real. To be called once by a program that simulates, before it begins.
 */
export function shareVerdicts(): void {
  const real = { verify: crypto.verify, createVerify: crypto.createVerify, createPublicKey: crypto.createPublicKey };
  const keys = new Memory<KeyObject>();
  const verdicts = new WeakMap<object, Memory<boolean>>();
  const verdictsOf = (key: object): Memory<boolean> => {
    let known = verdicts.get(key);
    if (known === undefined) verdicts.set(key, (known = new Memory()));
    return known;
  };

  Object.assign(crypto, {
    createPublicKey: (key: Parameters<typeof real.createPublicKey>[0]) =>
      isJwk(key) ? keys.find(JSON.stringify(key), () => real.createPublicKey(key)) : real.createPublicKey(key),

    verify: (...[algorithm, data, key, signature]: Parameters<typeof real.verify>) => {
      const keyObject = typeof key === 'object' && 'key' in key ? key.key : null;
      if (!(keyObject instanceof crypto.KeyObject) || !Buffer.isBuffer(data) || !Buffer.isBuffer(signature))
        return real.verify(algorithm, data, key, signature);
      const question = `${algorithm} ${signature.toString('latin1')} ${data.toString('latin1')}`;
      return verdictsOf(keyObject).find(question, () => real.verify(algorithm, data, key, signature));
    },

    // As jsonwebtoken calls it: one update with text, then the verdict.
    createVerify: (algorithm: string): Pick<Verify, 'update' | 'verify'> => {
      let text: string | null = null;
      const verifier = {
        update: (data: string) => {
          text = text === null ? data : `${text}${data}`;
          return verifier as unknown as Verify;
        },
        verify: (key: KeyObject, signature: string, encoding: 'base64') => {
          const find = (): boolean =>
            real
              .createVerify(algorithm)
              .update(text ?? '')
              .verify(key, signature, encoding);
          return verdictsOf(key).find(`${algorithm} ${signature} ${text ?? ''}`, find);
        },
      };
      return verifier as unknown as Pick<Verify, 'update' | 'verify'>;
    },
  });
  syncBuiltinESMExports();
}

const isJwk = (key: unknown): key is { key: object; format: 'jwk' } =>
  typeof key === 'object' && key !== null && 'format' in key && key.format === 'jwk';

/** Answers remembered for one key; beyond it all are forgotten, as those of earlier seeds are never asked for again. */
const ANSWERS_MAX = 4_096;

class Memory<T> {
  private readonly answers = new Map<string, T>();

  /** What was found out before, or is now. What throws is not remembered. */
  find(question: string, findOut: () => T): T {
    const known = this.answers.get(question);
    if (known !== undefined) return known;
    const answer = findOut();
    if (this.answers.size >= ANSWERS_MAX) this.answers.clear();
    this.answers.set(question, answer);
    return answer;
  }
}
