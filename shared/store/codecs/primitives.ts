import * as z from 'zod';
import type { KeyType } from '../../domain/keys.ts';
import type { LeaseProfileName } from '../../domain/lease.ts';
import type { Json } from '../../domain/records.ts';

/** Building blocks of the stored records' schemas. */

/** An id or another branded text; the brand is a mark of the compiler only, so the check is that of text. */
export const id = <T extends string>(): z.ZodType<T> => z.string().min(1) as unknown as z.ZodType<T>;
/** An encoded key; the empty one is the start of the key space. */
export const key = <T extends string>(): z.ZodType<T> => z.string() as unknown as z.ZodType<T>;
/** A version or counter that JavaScript holds exactly. */
export const counter = <T extends number>(): z.ZodType<T> => z.int().min(0) as unknown as z.ZodType<T>;

export const count = z.int().min(0);
/** Wall-clock milliseconds since 1970. */
export const wallMs = z.number().min(0);
export const text = z.string();
/** Any JSON value. Not looked through: a store refuses what is none (limits.ts). */
export const json = z.custom<Json>((value) => value !== undefined);
export const keyType: z.ZodType<KeyType> = z.enum(['string', 'int64']);
export const leaseProfile: z.ZodType<LeaseProfileName> = z.enum(['fast', 'standard', 'economy']);
