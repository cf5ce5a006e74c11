import { BoundedMap } from '../domain/bounded-map.ts';

/** Tokens that a process remembers: those of a cluster's nodes and of its busiest callers. The oldest is forgotten beyond it. */
const VERIFIED_TOKENS_MAX = 4096;

interface Verified<C> {
  readonly claims: C;
  /** From when on (s since 1970) the token has to be verified anew. */
  readonly untilS: number;
}

/** Tokens whose signatures were found good: a node sends the same one with every beat, and a verification costs about 150 us. */
export class VerifiedTokens<C> {
  readonly #known: BoundedMap<string, Verified<C>>;

  constructor(max: number = VERIFIED_TOKENS_MAX) {
    this.#known = new BoundedMap(max);
  }

  /** Null: to be verified anew, which then also tells why a token is refused that was good before. */
  find(token: string, nowS: number): C | null {
    const known = this.#known.get(token);
    if (known === undefined) return null;
    if (nowS < known.untilS) return known.claims;
    this.#known.delete(token);
    return null;
  }

  remember(token: string, claims: C, untilS: number): void {
    this.#known.set(token, { claims, untilS });
  }
}
