import { Aws, CfnOutput, Duration, Fn, RemovalPolicy, Stack } from 'aws-cdk-lib';
import type { StackProps } from 'aws-cdk-lib';
import {
  AccessLogFormat,
  AuthorizationType,
  EndpointType,
  IdentitySource,
  LambdaIntegration,
  LogGroupLogDestination,
  MethodLoggingLevel,
  RequestAuthorizer,
  RestApi,
} from 'aws-cdk-lib/aws-apigateway';
import type { StageOptions } from 'aws-cdk-lib/aws-apigateway';
import { FunctionUrlAuthType } from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import { acknowledge } from './constructs/acknowledge.ts';
import { signingKeyAlias } from './data-stack.ts';
import { LambdaEntry } from './constructs/lambda.ts';
import type { Surroundings } from './constructs/lambda.ts';
import { logGroup } from './constructs/log.ts';
import { API_ENTRIES, frontDoor, HOT_ENTRIES } from './front-door.ts';
import type { ApiEntry } from './front-door.ts';
import { addGatewayResponses } from './gateway-responses.ts';
import type { DeploymentSettings } from './settings.ts';

/** API Gateway gives up after 29 s; a function that runs on behind it would answer nobody. */
const API_TIMEOUT = Duration.seconds(28);
/** Serves `GET /cluster/endpoints`. */
const ENDPOINTS_ENTRY = 'cluster' satisfies ApiEntry;
const AUTHORIZER_TIMEOUT = Duration.seconds(5);

/**
 * The REST front door: one proxy per path of front-door.ts, the authorizer before all that is not public. The hot calls have
 * a Function URL beside it, under the same paths, whose function checks the token itself.
 */
export class ApiStack extends Stack {
  constructor(scope: Construct, id: string, surroundings: Surroundings, props?: StackProps) {
    super(scope, id, props);
    const { settings } = surroundings;
    const authorizer = new RequestAuthorizer(this, 'Authorizer', {
      handler: new LambdaEntry(this, 'AuthorizerFunction', surroundings, {
        name: 'authorizer',
        entry: 'functions/authorizer.ts',
        description: 'Checks bearer tokens',
        timeout: AUTHORIZER_TIMEOUT,
      }),
      identitySources: [IdentitySource.header('Authorization')],
      // An answer kept by the gateway would outlive the token.
      resultsCacheTtl: Duration.seconds(0),
    });
    const onAws = settings.target === 'aws';
    const api = new RestApi(this, 'Api', {
      restApiName: settings.prefix,
      description: 'Shardkeeper control plane',
      endpointTypes: [EndpointType.REGIONAL],
      deployOptions: { stageName: 'v1', ...(onAws ? this.stageOptions(surroundings) : {}) },
      // The role by which API Gateway writes logs belongs to the account's region, not to one deployment: it stays.
      ...(onAws ? { cloudWatchRole: true, cloudWatchRoleRemovalPolicy: RemovalPolicy.RETAIN } : {}),
    });
    const entries = new Map(API_ENTRIES.map((entry) => [entry, this.entry(entry, surroundings)]));
    const integrations = new Map([...entries].map(([name, entry]) => [name, new LambdaIntegration(entry)]));
    for (const door of frontDoor) {
      const resource = api.root.resourceForPath(door.path);
      resource.addMethod(
        'ANY',
        integrations.get(door.entry),
        door.authorizer === 'token'
          ? { authorizer, authorizationType: AuthorizationType.CUSTOM }
          : { authorizationType: AuthorizationType.NONE },
      );
    }
    if (onAws) addGatewayResponses(api);
    acknowledge(api, {
      APIG2: 'Every function validates its input against the contract, and names the field at fault.',
      APIG3: 'Callers are machines with tokens; who wants a web ACL associates one with the stage.',
      APIG4: 'The public calls (/healthz, /openapi.json) and 404 for paths that nobody serves.',
      COG4: "Tokens are the control plane's own: nodes and administrators are no Cognito users.",
      'IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs]':
        'The one policy made for the role by which API Gateway writes logs.',
    });
    for (const name of HOT_ENTRIES) {
      // No IAM before it: the handler checks the bearer token as the authorizer does (shared/runtime/authenticate.ts).
      const url = entries.get(name)?.addFunctionUrl({ authType: FunctionUrlAuthType.NONE });
      if (url === undefined) continue;
      new CfnOutput(this, `${capitalized(name)}Url`, { value: url.url });
      // Told by a function that has none itself: one that named its own address would depend on itself (docs/adr/0008).
      entries.get(ENDPOINTS_ENTRY)?.addEnvironment(`${name.toUpperCase()}_URL`, reachable(url.url, settings));
    }
    new CfnOutput(this, 'ApiId', { value: api.restApiId });
    new CfnOutput(this, 'ApiUrl', { value: api.url });
    new CfnOutput(this, 'SigningKeyAlias', { value: signingKeyAlias(settings) });
    new CfnOutput(this, 'Region', { value: Aws.REGION });
  }

  private entry(name: ApiEntry, surroundings: Surroundings): LambdaEntry {
    return new LambdaEntry(this, capitalized(name), surroundings, {
      name,
      entry: `functions/api/${name}.ts`,
      description: `API: ${name}`,
      timeout: API_TIMEOUT,
    });
  }

  private stageOptions({ settings }: Surroundings): StageOptions {
    return {
      tracingEnabled: true,
      metricsEnabled: true,
      throttlingRateLimit: settings.policy.requestsPerSecondMax,
      throttlingBurstLimit: settings.policy.requestsBurstMax,
      loggingLevel: MethodLoggingLevel.ERROR,
      // Would write whole requests, tokens included.
      dataTraceEnabled: false,
      accessLogDestination: new LogGroupLogDestination(logGroup(this, 'AccessLog', settings)),
      accessLogFormat: AccessLogFormat.custom(JSON.stringify(ACCESS_LOG)),
    };
  }
}

const capitalized = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);

/** One line a request. No header, no body, no query: those may hold tokens and keys. */
const ACCESS_LOG: Readonly<Record<string, string>> = {
  request_id: '$context.requestId',
  at: '$context.requestTime',
  source_ip: '$context.identity.sourceIp',
  method: '$context.httpMethod',
  path: '$context.resourcePath',
  status: '$context.status',
  caller: '$context.authorizer.principalId',
  refused: '$context.error.responseType',
  duration_ms: '$context.responseLatency',
  function_ms: '$context.integrationLatency',
};

/** The address by which callers reach a Function URL: its own, or an emulator's path for it, where no name server knows its host. */
function reachable(url: string, { functionUrlBase }: DeploymentSettings): string {
  if (functionUrlBase === null) return url;
  const host = Fn.select(2, Fn.split('/', url));
  return `${functionUrlBase}/${Fn.select(0, Fn.split('.', host))}`;
}
