import type { Node } from 'constructs';
import { contextOf } from './context.ts';
import type { Context } from './context.ts';
import { STAGES, stagePolicies } from './stages.ts';
import type { Stage, StagePolicy } from './stages.ts';

/** Choices of a deployment, from `cdk deploy -c name=value`. */
export interface DeploymentSettings {
  /** The cluster: several may live in one account. */
  readonly cluster: string;
  readonly stage: Stage;
  readonly policy: StagePolicy;
  /** Start of every physical name: cluster and stage. */
  readonly prefix: string;
  /** null: the region of the CLI's environment. */
  readonly region: string | null;
  /** 'customer-key': tables and queues under a KMS key of the account, whose use CloudTrail records. */
  readonly encryption: 'aws' | 'customer-key';
  readonly leaseProfile: 'fast' | 'standard' | 'economy';
  readonly defaultReplicationFactor: number;
  /** 'shared': for accounts whose concurrency quota leaves nothing to reserve (new ones have 10); a lease keeps loops apart anyway. */
  readonly detectorConcurrency: 'reserved' | 'shared';
  /** Numbers of the root keys in KMS: the one that signs, then those that are honoured besides (docs/deploy.md, rotation). */
  readonly signingKeys: readonly string[];
  /** null: no VPC; commands ride on heartbeat answers. */
  readonly network: NetworkSettings | null;
  /** 'emulator' leaves out what only AWS has; template tests look at 'aws'. */
  readonly target: 'aws' | 'emulator';
  /** Where an emulator serves Function URLs, as `<this>/<id>`, when their own hosts can't be reached; null: they can. */
  readonly functionUrlBase: string | null;
}

/** The VPC of the data nodes, and the place of the functions in it. */
export interface NetworkSettings {
  readonly vpcId: string;
  /** Private subnets, in zones that differ. */
  readonly subnetIds: readonly string[];
  /** Where the data nodes are. */
  readonly nodeCidrs: readonly string[];
  /** First and last port that data nodes listen on. */
  readonly nodePorts: readonly [first: number, last: number];
  /** 'existing': the VPC has endpoints of DynamoDB, KMS and Step Functions, or another way to them. */
  readonly endpoints: 'created' | 'existing';
  /** Of the subnets; the endpoint of DynamoDB is a route. Empty when endpoints exist. */
  readonly routeTableIds: readonly string[];
}

const PREFIX_PATTERN = /^[a-z][a-z0-9-]{1,30}$/;
const REGION_PATTERN = /^[a-z]{2}(-[a-z]+)+-[0-9]$/;
const VPC_PATTERN = /^vpc-[0-9a-f]{8,17}$/;
const PORTS_PATTERN = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/;
const PORT_MAX = 65_535;
const REPLICATION_FACTOR_MAX = 9;
/** Root keys at a time: the one that signs, the next one, the one before. */
const SIGNING_KEYS_MAX = 3;
const SUBNETS_MAX = 6;
const CIDRS_MAX = 10;
const ROUTE_TABLES_MAX = 10;

/** Reads the context. Throws with the name of the value at fault. */
export function readSettings(node: Node): DeploymentSettings {
  const context = contextOf(node);
  const cluster = context.text('prefix', 'shardkeeper');
  if (!PREFIX_PATTERN.test(cluster)) throw new Error(`context prefix must match ${PREFIX_PATTERN.source}`);
  const region = context.text('region', '');
  if (region !== '' && !REGION_PATTERN.test(region)) throw new Error('context region must be one like eu-central-1');
  // A forgotten stage must never touch production: names carry the stage, so that it makes one more environment.
  const stage = context.oneOf('stage', STAGES, 'dev');
  return {
    cluster,
    stage,
    policy: stagePolicies[stage],
    prefix: `${cluster}-${stage}`,
    region: region === '' ? null : region,
    encryption: context.oneOf('encryption', ['aws', 'customer-key'], 'aws'),
    leaseProfile: context.oneOf('lease', ['fast', 'standard', 'economy'], 'standard'),
    defaultReplicationFactor: context.integer('replicationFactor', 3, 1, REPLICATION_FACTOR_MAX),
    detectorConcurrency: context.oneOf('detectorConcurrency', ['reserved', 'shared'], 'reserved'),
    signingKeys: context.list('signingKeys', /^[1-9][0-9]{0,3}$/, '2,1', SIGNING_KEYS_MAX) ?? ['1'],
    network: readNetwork(context),
    target: context.oneOf('target', ['aws', 'emulator'], 'aws'),
    functionUrlBase: readFunctionUrlBase(context),
  };
}

function readFunctionUrlBase(context: Context): string | null {
  const base = context.text('functionUrlBase', '').replace(/\/$/, '');
  if (base === '') return null;
  if (context.text('target', 'aws') !== 'emulator') throw new Error('context functionUrlBase is for target=emulator');
  if (!/^https?:/.test(base) || !URL.canParse(base)) throw new Error('context functionUrlBase must be an http(s) URL');
  return base;
}

function readNetwork(context: Context): NetworkSettings | null {
  const vpcId = context.text('vpcId', '');
  const given = {
    subnetIds: context.list('subnetIds', /^subnet-[0-9a-f]{8,17}$/, 'subnet-0a1b2c3d4e5f60718', SUBNETS_MAX),
    nodeCidrs: context.list('nodeCidrs', /^([0-9]{1,3}\.){3}[0-9]{1,3}\/[0-9]{1,2}$/, '10.0.0.0/16', CIDRS_MAX),
    nodePorts: context.text('nodePorts', '7001'),
    routeTableIds: context.list('routeTableIds', /^rtb-[0-9a-f]{8,17}$/, 'rtb-0a1b2c3d4e5f60718', ROUTE_TABLES_MAX),
  };
  const endpoints = context.oneOf('vpcEndpoints', ['created', 'existing'], 'created');
  if (vpcId === '') {
    const alone = (['subnetIds', 'nodeCidrs', 'routeTableIds'] as const).find((name) => given[name] !== null);
    if (alone !== undefined) throw new Error(`context ${alone} says nothing without context vpcId`);
    return null;
  }
  if (!VPC_PATTERN.test(vpcId)) throw new Error('context vpcId must be one like vpc-0a1b2c3d4e5f60718');
  const { subnetIds, nodeCidrs, routeTableIds } = given;
  if (subnetIds === null) throw new Error('context subnetIds is needed with vpcId: the private subnets for functions');
  if (nodeCidrs === null) throw new Error('context nodeCidrs is needed with vpcId: where the data nodes are');
  if (routeTableIds === null && endpoints === 'created') {
    throw new Error(
      'context routeTableIds is needed with vpcId: the endpoint of DynamoDB is a route (or vpcEndpoints=existing)',
    );
  }
  return {
    vpcId,
    subnetIds,
    nodeCidrs,
    nodePorts: portRange(given.nodePorts),
    endpoints,
    routeTableIds: endpoints === 'created' ? (routeTableIds ?? []) : [],
  };
}

function portRange(text: string): readonly [number, number] {
  const match = PORTS_PATTERN.exec(text);
  const first = Number(match?.[1] ?? 0);
  const last = Number(match?.[2] ?? first);
  if (first < 1 || last < first || last > PORT_MAX)
    throw new Error('context nodePorts must be a port or a range like 7001-7009');
  return [first, last];
}
