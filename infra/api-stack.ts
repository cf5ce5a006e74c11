import { Aws, CfnOutput, Duration, Stack } from 'aws-cdk-lib';
import type { StackProps } from 'aws-cdk-lib';
import {
  AuthorizationType,
  IdentitySource,
  LambdaIntegration,
  RequestAuthorizer,
  ResponseType,
  RestApi,
} from 'aws-cdk-lib/aws-apigateway';
import type { Construct } from 'constructs';
import { LambdaEntry } from './constructs/lambda.ts';
import type { Surroundings, TableAccess } from './constructs/lambda.ts';
import { frontDoor } from './front-door.ts';
import type { ApiEntry } from './front-door.ts';

/** API Gateway gives up after 29 s; a function that runs on behind it would answer nobody. */
const API_TIMEOUT = Duration.seconds(28);
const AUTHORIZER_TIMEOUT = Duration.seconds(5);

interface EntryPlan {
  readonly tables: TableAccess;
  readonly starts?: 'operations';
  readonly answers?: 'tasks';
}

/** What each entry touches. Idempotency keys, operations and commands live in `operations`, audit and events in `events`. */
const ENTRIES: Readonly<Record<ApiEntry, EntryPlan>> = {
  nodes: { tables: { read: ['catalog'], write: ['topology', 'liveness', 'operations', 'access', 'events'] } },
  heartbeat: {
    tables: { read: ['catalog'], write: ['topology', 'liveness', 'operations', 'events'] },
    answers: 'tasks',
  },
  shards: { tables: { read: ['catalog'], write: ['topology', 'liveness', 'operations', 'events'] }, answers: 'tasks' },
  tables: {
    tables: { read: ['topology', 'liveness'], write: ['catalog', 'operations', 'events'] },
    starts: 'operations',
  },
  routes: { tables: { read: ['topology', 'catalog'] } },
  config: { tables: { read: ['catalog'] } },
  operations: { tables: { read: ['operations'] } },
  auth: { tables: { read: ['events', 'access'] } },
  cluster: { tables: { read: ['topology', 'liveness', 'catalog', 'operations'] } },
  meta: { tables: { read: ['catalog'] } },
};

/** The REST front door: one proxy per path of front-door.ts, the authorizer before all that is not public. */
export class ApiStack extends Stack {
  constructor(scope: Construct, id: string, surroundings: Surroundings, props?: StackProps) {
    super(scope, id, props);
    const { settings } = surroundings;
    const authorizer = new RequestAuthorizer(this, 'Authorizer', {
      handler: new LambdaEntry(this, 'AuthorizerFunction', surroundings, {
        entry: 'functions/authorizer.ts',
        description: 'Checks bearer tokens',
        tables: { read: ['topology'] },
        timeout: AUTHORIZER_TIMEOUT,
      }),
      identitySources: [IdentitySource.header('Authorization')],
      // An answer kept by the gateway would outlive the token; hot calls will check theirs behind a Function URL.
      resultsCacheTtl: Duration.seconds(0),
    });
    const api = new RestApi(this, 'Api', {
      restApiName: settings.prefix,
      description: 'Shardkeeper control plane',
      deployOptions: { stageName: 'v1', ...(settings.target === 'aws' ? { tracingEnabled: true } : {}) },
    });
    const integrations = new Map<ApiEntry, LambdaIntegration>();
    for (const [entry, plan] of Object.entries(ENTRIES) as [ApiEntry, EntryPlan][]) {
      integrations.set(entry, new LambdaIntegration(this.entry(entry, plan, surroundings)));
    }
    for (const door of frontDoor) {
      const resource = api.root.resourceForPath(door.path);
      resource.addMethod(
        'ANY',
        integrations.get(door.entry),
        door.authorizer === 'token' ? { authorizer, authorizationType: AuthorizationType.CUSTOM } : {},
      );
    }
    if (settings.target === 'aws') addGatewayResponses(api);
    new CfnOutput(this, 'ApiId', { value: api.restApiId });
    new CfnOutput(this, 'ApiUrl', { value: api.url });
    new CfnOutput(this, 'SigningSecretArn', { value: surroundings.data.signingSecret.secretArn });
    new CfnOutput(this, 'Region', { value: Aws.REGION });
  }

  private entry(entry: ApiEntry, plan: EntryPlan, surroundings: Surroundings): LambdaEntry {
    const lambda = new LambdaEntry(this, `${entry.charAt(0).toUpperCase()}${entry.slice(1)}`, surroundings, {
      entry: `functions/api/${entry}.ts`,
      description: `API: ${entry}`,
      tables: plan.tables,
      timeout: API_TIMEOUT,
    });
    if (plan.starts === 'operations') lambda.grantStartOperations(surroundings.settings);
    if (plan.answers === 'tasks') lambda.grantAnswerTasks(surroundings.settings);
    return lambda;
  }
}

/**
 * The gateway's own answers as problem details. The authorizer denies only what it can't authenticate, and says why in its
 * context: a denial is 401 here.
 */
function addGatewayResponses(api: RestApi): void {
  const problem = (status: string, code: string, detail: string, type: string): Record<string, string> => ({
    'application/problem+json':
      `{"type":"urn:shardkeeper:problem:${type}","title":"${type}","status":${status},"code":${code},` +
      `"detail":${detail},"request_id":"$context.requestId"}`,
  });
  const answers: readonly [string, ResponseType, string, string, string, string][] = [
    [
      'NoToken',
      ResponseType.UNAUTHORIZED,
      '401',
      '"UNAUTHENTICATED"',
      '"Send a token: Authorization: Bearer <token>."',
      'unauthenticated',
    ],
    [
      'Denied',
      ResponseType.ACCESS_DENIED,
      '401',
      '"$context.authorizer.code"',
      '"$context.authorizer.message"',
      'unauthenticated',
    ],
    [
      'AuthorizerFailed',
      ResponseType.AUTHORIZER_FAILURE,
      '503',
      '"STORE_UNAVAILABLE"',
      '"The token could not be checked."',
      'store-unavailable',
    ],
    ['Throttled', ResponseType.THROTTLED, '429', '"OVERLOADED"', '"Too many requests; retry later."', 'overloaded'],
    [
      'TooLarge',
      ResponseType.REQUEST_TOO_LARGE,
      '413',
      '"PAYLOAD_TOO_LARGE"',
      '"The request is too large."',
      'payload-too-large',
    ],
    [
      'Default4xx',
      ResponseType.DEFAULT_4XX,
      '400',
      '"INVALID_REQUEST"',
      '$context.error.messageString',
      'invalid-request',
    ],
  ];
  for (const [id, type, statusCode, code, detail, urn] of answers) {
    api.addGatewayResponse(id, {
      type,
      ...(id === 'Default4xx' ? {} : { statusCode }),
      responseHeaders: statusCode === '429' || statusCode === '503' ? { 'Retry-After': "'1'" } : {},
      templates: problem(statusCode, code, detail, urn),
    });
  }
}
