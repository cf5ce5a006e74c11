import type { Duration } from 'aws-cdk-lib';
import { Stack, Token } from 'aws-cdk-lib';
import { Architecture, Runtime, Tracing } from 'aws-cdk-lib/aws-lambda';
import { NodejsFunction, OutputFormat } from 'aws-cdk-lib/aws-lambda-nodejs';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { fileURLToPath } from 'node:url';
import type { Construct } from 'constructs';
import type { FunctionEnvironment } from '../../shared/runtime/environment.ts';
import { STORE_TABLES } from '../../shared/runtime/environment.ts';
import { stateMachines } from '../../state-machines/registry.ts';
import { functionAccess, tableActions } from '../access.ts';
import type { FunctionName } from '../access.ts';
import type { DataStack } from '../data-stack.ts';
import type { NetworkStack } from '../network-stack.ts';
import type { DeploymentSettings } from '../settings.ts';
import { BUNDLE_OPTIONS, FUNCTION_NODE_OPTIONS } from './bundling.ts';
import { acknowledge } from './acknowledge.ts';
import { logGroup } from './log.ts';

export interface EntryProps {
  /** Its role is made from `functionAccess[name]`. */
  readonly name: FunctionName;
  /** Path of the entry from the repository's root. */
  readonly entry: string;
  readonly description: string;
  readonly timeout: Duration;
  readonly memoryMb?: number;
  /** Invocations that may run at once; missing: as many as the account allows. */
  readonly concurrencyMax?: number;
}

export interface Surroundings {
  readonly data: DataStack;
  /** null: no VPC is given. */
  readonly network: NetworkStack | null;
  readonly settings: DeploymentSettings;
}

const FINDINGS = {
  'IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]':
    'The policy lets a function write its log, and nothing else.',
  'IAM5[Resource::*]': 'X-Ray takes traces without a resource to name (and so does dynamodb:ListStreams).',
};

const VPC_FINDINGS = {
  'IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole]':
    'The policy lets Lambda attach the function to the subnets it is given; network interfaces take no resource to name.',
};

/** CPU comes with memory: 512 MB start an entry in well under 150 ms. */
const MEMORY_MB_DEFAULT = 512;

/** One Lambda entry: Node 24, everything bundled, a role of its own, the environment that `shared/runtime/environment.ts` demands. */
export class LambdaEntry extends NodejsFunction {
  constructor(scope: Construct, id: string, { data, network, settings }: Surroundings, props: EntryProps) {
    const stack = Stack.of(scope);
    const place = functionAccess[props.name].pushes === true ? network : null;
    const environment: FunctionEnvironment = {
      TABLE_TOPOLOGY: data.tables.topology.tableName,
      TABLE_LIVENESS: data.tables.liveness.tableName,
      TABLE_CATALOG: data.tables.catalog.tableName,
      TABLE_OPERATIONS: data.tables.operations.tableName,
      TABLE_ACCESS: data.tables.access.tableName,
      TABLE_EVENTS: data.tables.events.tableName,
      STATE_MACHINE_ARN_PREFIX: operationsArn(stack, settings, 'stateMachine', ''),
      EVENT_BUS_NAME: data.bus.eventBusName,
      ROOT_KEY_IDS: data.rootKeys.map((key) => key.keyArn).join(','),
      LEASE_PROFILE: settings.leaseProfile,
      // Functions outside a VPC reach no private node: commands ride on heartbeat answers.
      PUSH_TO_NODES: String(place !== null),
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
      ...(place === null
        ? {}
        : { vpc: place.vpc, vpcSubnets: { subnets: place.vpc.privateSubnets }, securityGroups: [place.functions] }),
      ...(settings.target === 'aws'
        ? {
            tracing: Tracing.ACTIVE,
            ...(props.concurrencyMax === undefined ? {} : { reservedConcurrentExecutions: props.concurrencyMax }),
            logGroup: logGroup(scope, `${id}Log`, settings),
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
        esbuildArgs: {
          '--conditions': BUNDLE_OPTIONS.conditions.join(','),
          ...Object.fromEntries(Object.entries(BUNDLE_OPTIONS.alias).map(([name, file]) => [`--alias:${name}`, file])),
        },
      },
    });
    this.grantAccess(props.name, { data, settings });
    acknowledge(this, FINDINGS);
    if (place !== null) acknowledge(this, VPC_FINDINGS);
  }

  private grantAccess(name: FunctionName, { data, settings }: Omit<Surroundings, 'network'>): void {
    const access = functionAccess[name];
    for (const table of STORE_TABLES) {
      const mode = access.tables[table];
      if (mode !== undefined) data.tables[table].grant(this, ...tableActions[mode]);
    }
    // DynamoDB uses the key on behalf of whoever calls it.
    if (data.key !== undefined) {
      if (Object.keys(access.tables).length > 0) data.key.grantEncryptDecrypt(this);
      const reason = 'DynamoDB and SQS use both forms of the action, on this one key.';
      acknowledge(this, { 'IAM5[Action::kms:GenerateDataKey*]': reason, 'IAM5[Action::kms:ReEncrypt*]': reason });
    }
    if (access.rootKeys !== undefined) this.grantRootKeys(access.rootKeys, data);
    if (access.publishes === true) data.bus.grantPutEventsTo(this);
    const machines = (resource: 'stateMachine' | 'execution'): string[] =>
      stateMachines.map(({ type }) => operationsArn(Stack.of(this), settings, resource, type));
    if (access.startsOperations === true) {
      this.addToRolePolicy(
        new PolicyStatement({ actions: ['states:StartExecution'], resources: machines('stateMachine') }),
      );
      this.addToRolePolicy(
        new PolicyStatement({
          actions: ['states:DescribeExecution'],
          resources: machines('execution').map((machine) => `${machine}:*`),
        }),
      );
      for (const { type } of stateMachines) {
        const executions = `arn:<AWS::Partition>:states:${regionText(Stack.of(this))}:<AWS::AccountId>:execution`;
        acknowledge(this, {
          [`IAM5[Resource::${executions}:${settings.prefix}-${type}:*]`]:
            'Executions are named after operations to come.',
        });
      }
    }
    if (access.answersTasks === true) {
      this.addToRolePolicy(
        new PolicyStatement({
          actions: ['states:SendTaskSuccess', 'states:SendTaskFailure'],
          resources: machines('stateMachine'),
        }),
      );
    }
  }

  /** By the role alone: a grant on the key would write every role into the key's policy, across stacks that lean on this one. */
  private grantRootKeys(use: 'verify' | 'sign', { rootKeys }: DataStack): void {
    const statement = (action: string, keys: DataStack['rootKeys']): PolicyStatement =>
      new PolicyStatement({ actions: [action], resources: keys.map((key) => key.keyArn) });
    this.addToRolePolicy(statement('kms:GetPublicKey', rootKeys));
    if (use === 'sign') this.addToRolePolicy(statement('kms:Sign', rootKeys.slice(0, 1)));
  }
}

/** The region as cdk-nag writes it in a finding. */
const regionText = ({ region }: Stack): string => (Token.isUnresolved(region) ? '<AWS::Region>' : region);

/** ARN of the state machine of an operation type, or of its executions up to their name; by name, as functions and state machines refer to each other. */
function operationsArn(
  { partition, region, account }: Stack,
  { prefix }: DeploymentSettings,
  resource: 'stateMachine' | 'execution',
  type: string,
): string {
  return `arn:${partition}:states:${region}:${account}:${resource}:${prefix}-${type}`;
}
