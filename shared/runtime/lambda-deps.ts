import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { KMSClient } from '@aws-sdk/client-kms';
import { SFNClient } from '@aws-sdk/client-sfn';
import { DynamoDBDocumentClient } from '@aws-sdk/lib-dynamodb';
import { createEventBridgePublisher } from '../adapters/event-bridge.ts';
import type { EventPublisher } from '../adapters/event-bridge.ts';
import { createKmsRootSigner } from '../adapters/kms-root-signer.ts';
import { createHttpNodeClient } from '../adapters/node-http.ts';
import { createStepFunctionsStarter } from '../adapters/step-functions.ts';
import { err } from '../domain/result.ts';
import type { Deps, NodeClient } from '../ports.ts';
import { DynamoStore } from '../store/dynamo-store.ts';
import { composeDeps } from './deps.ts';
import { readEnvironment } from './environment.ts';
import type { Environment } from './environment.ts';
import { jsonLogger, systemClock, systemRandom, systemTimers } from './system.ts';

/**
 * Composition root of the Lambda functions. Bundles import it as `#lambda-deps` (condition `lambda`, package.json), so that the
 * SDK is loaded while Lambda initialises the function, and only those clients are bundled that the function can reach.
 */

/** Answers at once for nodes that functions can't reach: commands then ride on heartbeat answers. */
const noPush: NodeClient = {
  push: (node) =>
    Promise.resolve(err({ code: 'NODE_UNREACHABLE', message: `${node.nodeId}: functions do not push to nodes here` })),
};

export async function lambdaDeps(): Promise<Deps> {
  const environment = readEnvironment(process.env);
  return composeDeps({
    store: dynamoStore(environment),
    nodes: environment.PUSH_TO_NODES ? createHttpNodeClient() : noPush,
    operations: createStepFunctionsStarter({
      client: new SFNClient(),
      stateMachineArnPrefix: environment.STATE_MACHINE_ARN_PREFIX,
    }),
    root: createKmsRootSigner({ client: new KMSClient(), keyIds: environment.ROOT_KEY_IDS }),
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    log: jsonLogger((line) => process.stdout.write(`${line}\n`), {
      function: process.env['AWS_LAMBDA_FUNCTION_NAME'] ?? null,
    }),
    settings: {
      leaseProfile: environment.LEASE_PROFILE,
      pushToNodes: environment.PUSH_TO_NODES,
      defaultReplicationFactor: environment.DEFAULT_REPLICATION_FACTOR,
      endpoints: { heartbeats: environment.HEARTBEAT_URL ?? null, routes: environment.ROUTES_URL ?? null },
    },
  });
}

function dynamoStore(environment: Environment): DynamoStore {
  return new DynamoStore({
    client: DynamoDBDocumentClient.from(new DynamoDBClient(), { marshallOptions: { removeUndefinedValues: true } }),
    tables: {
      topology: environment.TABLE_TOPOLOGY,
      liveness: environment.TABLE_LIVENESS,
      catalog: environment.TABLE_CATALOG,
      operations: environment.TABLE_OPERATIONS,
      access: environment.TABLE_ACCESS,
      events: environment.TABLE_EVENTS,
    },
    random: systemRandom,
    timers: systemTimers,
  });
}

export async function lambdaEventPublisher(): Promise<EventPublisher> {
  const { EVENT_BUS_NAME } = readEnvironment(process.env);
  return createEventBridgePublisher({ client: new EventBridgeClient(), busName: EVENT_BUS_NAME });
}
