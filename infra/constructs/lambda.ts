import type { Duration } from 'aws-cdk-lib';
import { Stack } from 'aws-cdk-lib';
import { Architecture, Runtime, Tracing } from 'aws-cdk-lib/aws-lambda';
import { NodejsFunction, OutputFormat } from 'aws-cdk-lib/aws-lambda-nodejs';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { fileURLToPath } from 'node:url';
import type { Construct } from 'constructs';
import type { FunctionEnvironment } from '../../shared/runtime/environment.ts';
import type { DataStack, StoreTables } from '../data-stack.ts';
import type { DeploymentSettings } from '../settings.ts';
import { BUNDLE_OPTIONS, FUNCTION_NODE_OPTIONS } from './bundling.ts';

/** Tables that a function reads, and those that it also writes (DESIGN section 4: a role gets only what it needs). */
export interface TableAccess {
  readonly read?: readonly (keyof StoreTables)[];
  readonly write?: readonly (keyof StoreTables)[];
}

export interface EntryProps {
  /** Path of the entry from the repository's root. */
  readonly entry: string;
  readonly description: string;
  readonly tables: TableAccess;
  readonly timeout: Duration;
  readonly memoryMb?: number;
  /** Invocations that may run at once; missing: as many as the account allows. */
  readonly concurrencyMax?: number;
}

export interface Surroundings {
  readonly data: DataStack;
  readonly settings: DeploymentSettings;
}

const READ_ACTIONS = ['dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:Query'];
const WRITE_ACTIONS = ['dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem', 'dynamodb:ConditionCheckItem'];
/** CPU comes with memory: 512 MB start an entry in well under 150 ms. */
const MEMORY_MB_DEFAULT = 512;

/** One Lambda entry: Node 24, everything bundled, the environment that `shared/runtime/environment.ts` demands. */
export class LambdaEntry extends NodejsFunction {
  constructor(scope: Construct, id: string, { data, settings }: Surroundings, props: EntryProps) {
    const stack = Stack.of(scope);
    const arnPrefix = `arn:${stack.partition}:states:${stack.region}:${stack.account}:stateMachine:${settings.prefix}-`;
    const environment: FunctionEnvironment = {
      TABLE_TOPOLOGY: data.tables.topology.tableName,
      TABLE_LIVENESS: data.tables.liveness.tableName,
      TABLE_CATALOG: data.tables.catalog.tableName,
      TABLE_OPERATIONS: data.tables.operations.tableName,
      TABLE_ACCESS: data.tables.access.tableName,
      TABLE_EVENTS: data.tables.events.tableName,
      STATE_MACHINE_ARN_PREFIX: arnPrefix,
      EVENT_BUS_NAME: data.bus.eventBusName,
      SIGNING_SECRET_ID: data.signingSecret.secretArn,
      LEASE_PROFILE: settings.leaseProfile,
      // Functions outside a VPC reach no private node: commands ride on heartbeat answers.
      PUSH_TO_NODES: 'false',
      DEFAULT_REPLICATION_FACTOR: String(settings.defaultReplicationFactor),
    };
    super(scope, id, {
      entry: fileURLToPath(new URL(`../../${props.entry}`, import.meta.url)),
      handler: 'handler',
      description: props.description,
      runtime: Runtime.NODEJS_24_X,
      architecture: settings.target === 'aws' ? Architecture.ARM_64 : Architecture.X86_64,
      memorySize: props.memoryMb ?? MEMORY_MB_DEFAULT,
      timeout: props.timeout,
      environment: { ...environment, NODE_OPTIONS: FUNCTION_NODE_OPTIONS },
      ...(settings.target === 'aws'
        ? {
            tracing: Tracing.ACTIVE,
            ...(props.concurrencyMax === undefined ? {} : { reservedConcurrentExecutions: props.concurrencyMax }),
            logGroup: new LogGroup(scope, `${id}Log`, { retention: RetentionDays.ONE_MONTH }),
          }
        : {}),
      bundling: {
        format: OutputFormat.CJS,
        target: BUNDLE_OPTIONS.target,
        minify: BUNDLE_OPTIONS.minify,
        sourceMap: BUNDLE_OPTIONS.sourcemap,
        sourcesContent: BUNDLE_OPTIONS.sourcesContent,
        externalModules: [],
        mainFields: BUNDLE_OPTIONS.mainFields,
        esbuildArgs: { '--conditions': BUNDLE_OPTIONS.conditions.join(',') },
      },
    });
    data.signingSecret.grantRead(this);
    for (const name of props.tables.read ?? []) data.tables[name].grant(this, ...READ_ACTIONS);
    for (const name of props.tables.write ?? []) data.tables[name].grant(this, ...READ_ACTIONS, ...WRITE_ACTIONS);
  }

  /** May start the state machines of operations and look at their executions. */
  grantStartOperations(settings: DeploymentSettings): void {
    const { partition, region, account } = Stack.of(this);
    const arn = (resource: string): string =>
      `arn:${partition}:states:${region}:${account}:${resource}:${settings.prefix}-*`;
    this.addToRolePolicy(new PolicyStatement({ actions: ['states:StartExecution'], resources: [arn('stateMachine')] }));
    this.addToRolePolicy(new PolicyStatement({ actions: ['states:DescribeExecution'], resources: [arn('execution')] }));
  }

  /** May answer waiting task tokens of the operations' state machines. */
  grantAnswerTasks(settings: DeploymentSettings): void {
    const { partition, region, account } = Stack.of(this);
    this.addToRolePolicy(
      new PolicyStatement({
        actions: ['states:SendTaskSuccess', 'states:SendTaskFailure'],
        resources: [`arn:${partition}:states:${region}:${account}:stateMachine:${settings.prefix}-*`],
      }),
    );
  }
}
