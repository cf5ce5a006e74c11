import { fromEnv } from '@aws-sdk/credential-provider-env';

/**
 * Stands in for `@aws-sdk/credential-provider-node` in the bundles: Lambda puts a function's credentials into its environment, so
 * the sign-in, profile and container providers (a seventh of a bundle) are never reached there.
 */
export const defaultProvider = (): ReturnType<typeof fromEnv> => fromEnv();
