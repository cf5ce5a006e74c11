import { GetAccountSettingsCommand } from '@aws-sdk/client-lambda';
import type { LambdaClient } from '@aws-sdk/client-lambda';
import { CONCURRENCY_MIN, failure, UNRESERVED_MIN } from './failures.ts';
import type { DeployFailure } from './failures.ts';

/**
 * Looks, before anything is made, at what would only fail minutes into a deployment: credentials, region, Lambda's quota. One
 * call, which changes nothing. What only CloudFormation finds out is named afterwards (failures.ts, `diagnose`).
 */
export interface PreflightOptions {
  readonly client: Pick<LambdaClient, 'send'>;
  /** As messages name it. */
  readonly region: string;
  readonly detectorConcurrency: 'reserved' | 'shared';
}

export interface PreflightResult {
  readonly failures: readonly DeployFailure[];
  /** What may fail, for a reason that can't be seen from outside. */
  readonly warnings: readonly string[];
}

export async function preflight({ client, region, detectorConcurrency }: PreflightOptions): Promise<PreflightResult> {
  try {
    const { AccountLimit = {} } = await client.send(new GetAccountSettingsCommand({}));
    const { ConcurrentExecutions: limit, UnreservedConcurrentExecutions: unreserved } = AccountLimit;
    if (detectorConcurrency === 'shared' || limit === undefined) return { failures: [], warnings: [] };
    if (limit < CONCURRENCY_MIN) {
      const message = `the account may run ${limit} Lambda executions at once in ${region}; the detector reserves 2, and AWS keeps ${UNRESERVED_MIN} unreserved`;
      return { failures: [failure('CONCURRENCY_QUOTA', message)], warnings: [] };
    }
    // Counts what this deployment reserved before: an update needs none of it again.
    const scarce = unreserved !== undefined && unreserved < CONCURRENCY_MIN;
    return {
      failures: [],
      warnings: scarce
        ? [
            `Other functions of the account leave ${unreserved} Lambda executions unreserved; a first deployment reserves 2.`,
          ]
        : [],
    };
  } catch (error) {
    const known = failureOf(error, region);
    if (known === null) throw error;
    // Who may deploy by CDK's roles need not be allowed to ask this.
    if (known.code === 'PERMISSION_MISSING')
      return { failures: [], warnings: [`Lambda's quota could not be read: ${known.message}`] };
    return { failures: [known], warnings: [] };
  }
}

const CODES: Readonly<Record<string, DeployFailure['code']>> = {
  CredentialsProviderError: 'CREDENTIALS_MISSING',
  ExpiredTokenException: 'CREDENTIALS_REFUSED',
  ExpiredToken: 'CREDENTIALS_REFUSED',
  InvalidClientTokenId: 'CREDENTIALS_REFUSED',
  InvalidSignatureException: 'CREDENTIALS_REFUSED',
  SignatureDoesNotMatch: 'CREDENTIALS_REFUSED',
  // Said of wrong keys, and of good ones in a region that the account did not enable.
  UnrecognizedClientException: 'CREDENTIALS_REFUSED',
  OptInRequired: 'REGION_NOT_ENABLED',
  AccessDeniedException: 'PERMISSION_MISSING',
  AccessDenied: 'PERMISSION_MISSING',
};
const UNREACHABLE = new Set(['ENOTFOUND', 'EAI_AGAIN', 'ECONNREFUSED', 'ETIMEDOUT', 'ENETUNREACH', 'EHOSTUNREACH']);

function failureOf(error: unknown, region: string): DeployFailure | null {
  if (!(error instanceof Error)) return null;
  const { name, message } = error;
  if (/region is missing/i.test(message)) return failure('REGION_MISSING', 'no region is set');
  const system = 'code' in error ? String(error.code) : '';
  if (UNREACHABLE.has(system) || name === 'TimeoutError') {
    return failure('REGION_UNREACHABLE', `AWS Lambda in ${region} does not answer (${system === '' ? name : system})`);
  }
  const code = CODES[name];
  return code === undefined ? null : failure(code, `AWS Lambda in ${region}: ${message}`);
}
