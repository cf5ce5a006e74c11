/** What a region or an account can lack, in words that name it: codes are stable, remedies say what to do. */
export interface DeployFailure {
  readonly code: DeployFailureCode;
  readonly message: string;
  readonly remedy: string;
}

export type DeployFailureCode =
  | 'CREDENTIALS_MISSING'
  | 'CREDENTIALS_REFUSED'
  | 'REGION_MISSING'
  | 'REGION_UNREACHABLE'
  | 'REGION_NOT_ENABLED'
  | 'NOT_BOOTSTRAPPED'
  | 'CONCURRENCY_QUOTA'
  | 'RUNTIME_UNSUPPORTED'
  | 'FUNCTION_URLS_REFUSED'
  | 'STACK_ROLLED_BACK'
  | 'STACK_BUSY'
  | 'NAME_TAKEN'
  | 'EXPORT_IN_USE'
  | 'PERMISSION_MISSING'
  | 'QUOTA_EXCEEDED'
  | 'CONTEXT_WRONG';

/** Loops of the detector that reserve an execution each (operations-stack.ts), and what AWS keeps unreserved at least. */
const DETECTOR_LOOPS = 2;
export const UNRESERVED_MIN = 10;
export const CONCURRENCY_MIN = UNRESERVED_MIN + DETECTOR_LOOPS;

export const failures = {
  CREDENTIALS_MISSING:
    'Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; `aws sts get-caller-identity` must answer.',
  CREDENTIALS_REFUSED: 'Sign in again (`aws sso login`), or renew the keys; then deploy again.',
  REGION_MISSING: 'Set AWS_REGION, or deploy with -c region=eu-central-1.',
  REGION_UNREACHABLE: 'Check the name of the region and your network; the region must have AWS Lambda.',
  REGION_NOT_ENABLED:
    'Enable the region in the account (Account settings, AWS Regions), or choose another with -c region=...',
  NOT_BOOTSTRAPPED: 'Once per account and region: npx cdk bootstrap',
  CONCURRENCY_QUOTA:
    'Ask for a higher quota (Service Quotas, AWS Lambda, Concurrent executions), or deploy with -c detectorConcurrency=shared.',
  RUNTIME_UNSUPPORTED: 'Deploy into a region whose Lambda has nodejs24.x: -c region=...',
  FUNCTION_URLS_REFUSED:
    'A policy of the organization or the region refuses public Function URLs: allow lambda:CreateFunctionUrlConfig with AuthType NONE for these stacks.',
  STACK_ROLLED_BACK:
    'Look at its first failed event, mend the cause, remove the stack (npm run destroy), deploy again.',
  STACK_BUSY: 'Another deployment of the stack is under way: wait until it has ended.',
  NAME_TAKEN:
    'Something of that name exists outside the stack, kept from an earlier deployment perhaps: import it, delete it, or choose another -c prefix=...',
  EXPORT_IN_USE:
    'Deploy the stacks that use it first: npx cdk deploy --exclusively <api and operations stacks>; then all.',
  PERMISSION_MISSING: 'Let your principal (or the roles of cdk bootstrap) do that, or deploy with one that may.',
  QUOTA_EXCEEDED: 'Ask for a higher quota in Service Quotas, or remove what is not needed.',
  CONTEXT_WRONG: 'docs/deploy.md lists the choices.',
} as const satisfies Record<DeployFailureCode, string>;

export const failure = (code: DeployFailureCode, message: string): DeployFailure => ({
  code,
  message,
  remedy: failures[code],
});

/** What CDK and CloudFormation say, and what it means; the first match counts, so that the narrower one stands first. */
const SAYINGS: readonly (readonly [RegExp, DeployFailureCode])[] = [
  [/^.*context [A-Za-z]+ (?:must|is needed|says).*$/m, 'CONTEXT_WRONG'],
  [
    /^.*(?:Unable to resolve AWS account|Need to perform AWS calls.*no credentials|Could not load credentials).*$/m,
    'CREDENTIALS_MISSING',
  ],
  [
    /^.*(?:ExpiredToken|security token included in the request is (?:expired|invalid)|UnrecognizedClientException|InvalidClientTokenId).*$/m,
    'CREDENTIALS_REFUSED',
  ],
  [
    /^.*(?:is the environment bootstrapped|has not been bootstrapped|\/cdk-bootstrap\/\S+ not found|requires bootstrap stack version).*$/im,
    'NOT_BOOTSTRAPPED',
  ],
  [/^.*UnreservedConcurrentExecution below its minimum value.*$/m, 'CONCURRENCY_QUOTA'],
  [
    /^.*(?:nodejs24\.x.*(?:failed to satisfy|not supported|unsupported)|runtime parameter of nodejs24\.x).*$/im,
    'RUNTIME_UNSUPPORTED',
  ],
  [
    /^.*(?:CreateFunctionUrlConfig|AWS::Lambda::Url).*(?:denied|not authorized|not supported|Unsupported|Unrecognized).*$/im,
    'FUNCTION_URLS_REFUSED',
  ],
  [/^.*(?:OptInRequired|not subscribed to this service|region.* is not enabled).*$/im, 'REGION_NOT_ENABLED'],
  [/^.*Export \S+ cannot be (?:deleted|updated) as it is in use.*$/m, 'EXPORT_IN_USE'],
  [/^.*_IN_PROGRESS state and can ?not be updated.*$/m, 'STACK_BUSY'],
  [
    /^.*(?:is in|in) (?:the )?(?:ROLLBACK_COMPLETE|ROLLBACK_FAILED|UPDATE_ROLLBACK_FAILED|REVIEW_IN_PROGRESS)\b.*$/m,
    'STACK_ROLLED_BACK',
  ],
  [/^.*(?:already exists|AlreadyExists).*$/m, 'NAME_TAKEN'],
  [/^.*(?:LimitExceeded|quota .* exceeded|exceeded .* quota).*$/im, 'QUOTA_EXCEEDED'],
  [/^.*(?:AccessDenied|is not authorized to perform).*$/m, 'PERMISSION_MISSING'],
];
/** Characters of CDK's line that are shown again. */
const LINE_CHARS_MAX = 500;

/** The failure that the output of `cdk deploy` tells of; null if it is none that we know: then the output must speak for itself. */
export function diagnose(output: string): DeployFailure | null {
  for (const [saying, code] of SAYINGS) {
    const line = saying.exec(output)?.[0];
    if (line !== undefined) return failure(code, line.trim().slice(0, LINE_CHARS_MAX));
  }
  return null;
}

export const explained = ({ code, message, remedy }: DeployFailure): string => `${code}: ${message}\n  -> ${remedy}`;
