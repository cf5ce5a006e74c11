import type { Clock, Random } from './environment.ts';

/** Hex digits of a wall-clock time in milliseconds: enough until the year 10889. */
const TIME_DIGITS = 12;
/** Hex digits of the count within one millisecond. */
const COUNT_DIGITS = 4;
/** Random bytes of an id, so that two processes never make the same one. */
const RANDOM_BYTES = 8;

/**
 * Makes ids that sort by the time they were made, for example `cmd-0193a1b2c3d40000-89abcdef01234567`. Those of one source sort in
 * the order of the calls even within one millisecond or when the wall clock is set back.
 */
export function timeOrderedIds({ clock, random }: { readonly clock: Clock; readonly random: Random }) {
  let lastMs = 0;
  let count = 0;
  return (prefix: string): string => {
    const nowMs = Math.floor(clock.wallMs());
    if (nowMs > lastMs) {
      lastMs = nowMs;
      count = 0;
    } else if (++count >= 16 ** COUNT_DIGITS) {
      lastMs += 1;
      count = 0;
    }
    const time = lastMs.toString(16).padStart(TIME_DIGITS, '0');
    return `${prefix}-${time}${count.toString(16).padStart(COUNT_DIGITS, '0')}-${random.hex(RANDOM_BYTES)}`;
  };
}
