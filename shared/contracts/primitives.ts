import * as z from 'zod';
import { isUsableId } from '../domain/ids.ts';
import { KEY_BYTES_MAX, utf8Bytes } from '../domain/keys.ts';
import type { Json } from '../domain/records.ts';

/** Building blocks of the wire's schemas. The wire is snake_case; unknown fields are refused in requests. */

export const nodeIdSchema = z.string().refine(isUsableId, {
  error: 'must be 1 to 64 characters of A-Z a-z 0-9 . _ - , start with a letter or digit and be no reserved word',
});
export const tableNameSchema = nodeIdSchema;
export const zoneSchema = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);
/** Of 1 to 64 characters: one pattern, as each further check costs as much again, and every message has such ids. */
export const systemIdSchema = z.string().regex(/^[A-Za-z0-9._:-]{1,64}$/);
export const hostSchema = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[A-Za-z0-9._:-]+$/);
export const portSchema = z.int().min(1).max(65_535);

/** Versions and counters: non-negative integers that JavaScript holds exactly (`z.int` takes no others). */
export const counterSchema = z.int().min(0);
export const epochSchema = z.int().min(0);
export const millisSchema = counterSchema;

/** A key as callers write it: UTF-8 of at most 1,000 bytes, or the decimal form of an int64. */
export const keySchema = z.string().refine((key) => key.isWellFormed() && utf8Bytes(key) <= KEY_BYTES_MAX, {
  error: `must be well-formed text of at most ${KEY_BYTES_MAX} bytes in UTF-8`,
});
export const keyTypeSchema = z.enum(['string', 'int64']);
export const syncStatusSchema = z.enum(['IN_SYNC', 'LAGGING', 'OFFLINE']);
export const leaseProfileSchema = z.enum(['fast', 'standard', 'economy']);

/**
 * Any JSON value, as records keep it; only its absence is refused. What is parsed here has come out of JSON text: `z.json` would try a union at each value in
 * it, and keep a table of what it met on the way (memoizer of zod 4.6), some ten times what the text costs to parse.
 */
export const jsonSchema = z.unknown().refine((value) => value !== undefined, {
  error: 'must be a JSON value',
}) as unknown as z.ZodType<Json>;

export const LIST_LIMIT_DEFAULT = 100;
export const LIST_LIMIT_MAX = 1000;
const CURSOR_CHARS_MAX = 4096;
/** Query parameters of every list. They arrive as text. */
export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(LIST_LIMIT_MAX).optional(),
  cursor: z.string().min(1).max(CURSOR_CHARS_MAX).optional(),
};
/** Answer part of every list: pass `next_cursor` as `cursor`; null at the end. */
export const pageAnswer = { next_cursor: z.string().nullable() };

/** ISO 8601 in UTC, as the API shows times. */
export const timestampSchema = z.iso.datetime();
export const toTimestamp = (wallMs: number): string => isoFromMs(wallMs);

/** Wall-clock milliseconds of a time that `timestampSchema` took. */
export function wallMsOf(timestamp: string): number {
  const parts = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?Z$/.exec(timestamp);
  const [year = 0, month = 1, day = 1, hours = 0, minutes = 0, seconds = 0] = (parts ?? []).slice(1, 7).map(Number);
  const fraction = Number(`0.${parts?.[7] ?? '0'}`);
  // Days since 1970 of a civil date: Hinnant, as below.
  const shiftedYear = month <= 2 ? year - 1 : year;
  const era = Math.floor(shiftedYear / 400);
  const yearOfEra = shiftedYear - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  const days = era * 146_097 + dayOfEra - 719_468;
  return (
    days * 86_400_000 +
    hours * 3_600_000 +
    minutes * 60_000 +
    (Number.isNaN(seconds) ? 0 : seconds) * 1000 +
    Math.floor(fraction * 1000)
  );
}

/** Days from 1970 to a civil date and back: Howard Hinnant, "chrono-compatible low-level date algorithms"; contracts read no clock and need no Date. */
function isoFromMs(wallMs: number): string {
  const days = Math.floor(wallMs / 86_400_000);
  const msOfDay = wallMs - days * 86_400_000;
  const z = days + 719_468;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1;
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  const pad = (value: number, width: number): string => String(value).padStart(width, '0');
  return (
    `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}T${pad(Math.floor(msOfDay / 3_600_000), 2)}:` +
    `${pad(Math.floor(msOfDay / 60_000) % 60, 2)}:${pad(Math.floor(msOfDay / 1000) % 60, 2)}.${pad(Math.floor(msOfDay) % 1000, 3)}Z`
  );
}
