/** Values that survive a round trip through the store and JSON. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
