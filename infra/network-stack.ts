import { Fn, Stack } from 'aws-cdk-lib';
import type { StackProps } from 'aws-cdk-lib';
import {
  CfnVPCEndpoint,
  InterfaceVpcEndpoint,
  InterfaceVpcEndpointAwsService,
  Peer,
  Port,
  SecurityGroup,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import type { IVpc } from 'aws-cdk-lib/aws-ec2';
import type { Construct } from 'constructs';
import type { DeploymentSettings, NetworkSettings } from './settings.ts';

const HTTPS = Port.tcp(443);
/** Services besides DynamoDB that functions inside the VPC call; a test holds them against the roles of those functions. */
export const VPC_SERVICES = {
  kms: InterfaceVpcEndpointAwsService.KMS,
  states: InterfaceVpcEndpointAwsService.STEP_FUNCTIONS,
};

/**
 * The place in a given VPC of the functions that push commands to nodes. Nothing is looked up: synthesis needs no account, so
 * the subnets and the addresses of the nodes are given too.
 */
export class NetworkStack extends Stack {
  readonly vpc: IVpc;
  /** Of the functions: to the nodes' ports, and to AWS. */
  readonly functions: SecurityGroup;

  constructor(
    scope: Construct,
    id: string,
    network: NetworkSettings,
    settings: DeploymentSettings,
    props?: StackProps,
  ) {
    super(scope, id, props);
    const { subnetIds } = network;
    this.vpc = Vpc.fromVpcAttributes(this, 'Vpc', {
      vpcId: network.vpcId,
      // Only counted by CDK, one for each subnet: the subnets say where things go.
      availabilityZones: subnetIds.map((_, index) => Fn.select(index, Fn.getAzs())),
      privateSubnetIds: [...subnetIds],
    });
    this.functions = new SecurityGroup(this, 'Functions', {
      vpc: this.vpc,
      description: `Functions of ${settings.prefix} that push commands to data nodes`,
      allowAllOutbound: false,
    });
    for (const cidr of network.nodeCidrs) {
      this.functions.addEgressRule(Peer.ipv4(cidr), portsOf(network), 'Commands to data nodes');
    }
    // A gateway endpoint has public addresses, and its prefix list can't be known without a look-up; routes of the subnets decide what is reached.
    this.functions.addEgressRule(Peer.anyIpv4(), HTTPS, 'DynamoDB, KMS and Step Functions by their endpoints');
    if (network.endpoints === 'created') this.addEndpoints(network, settings);
  }

  private addEndpoints(network: NetworkSettings, { prefix }: DeploymentSettings): void {
    new CfnVPCEndpoint(this, 'DynamoDbEndpoint', {
      vpcId: network.vpcId,
      vpcEndpointType: 'Gateway',
      serviceName: Fn.sub('com.amazonaws.${AWS::Region}.dynamodb'),
      routeTableIds: [...network.routeTableIds],
    });
    const endpoints = new SecurityGroup(this, 'Endpoints', {
      vpc: this.vpc,
      description: `Endpoints of AWS services for ${prefix}`,
      allowAllOutbound: false,
    });
    endpoints.addIngressRule(this.functions, HTTPS, 'Functions of the control plane');
    for (const [name, service] of Object.entries(VPC_SERVICES)) {
      new InterfaceVpcEndpoint(this, `${name}-endpoint`, {
        vpc: this.vpc,
        service,
        subnets: { subnets: this.vpc.privateSubnets },
        securityGroups: [endpoints],
        open: false,
        privateDnsEnabled: true,
      });
    }
  }
}

const portsOf = ({ nodePorts: [first, last] }: NetworkSettings): Port =>
  first === last ? Port.tcp(first) : Port.tcpRange(first, last);
