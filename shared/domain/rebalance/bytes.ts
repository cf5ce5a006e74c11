/** A sum of what nodes tell: beyond what a number holds exactly it stays there, so that a lie spoils the figure and no answer. */
export const addBytes = (sum: number, bytes: number): number => Math.min(sum + bytes, Number.MAX_SAFE_INTEGER);
