import { Match } from 'aws-cdk-lib/assertions';
import { functionAccess } from '../../infra/access.ts';
import { VPC_SERVICES } from '../../infra/network-stack.ts';
import { namedResources, resourcesOf, roleOf, statementsOf, templates } from './support.ts';
import type { Resource } from './support.ts';

/** A VPC as an option: functions that push join it, the others stay outside; without one nothing changes. */
const SUBNETS = ['subnet-0a1b2c3d', 'subnet-1a2b3c4d'];
const VPC = {
  vpcId: 'vpc-0a1b2c3d4e5f60718',
  subnetIds: SUBNETS.join(','),
  nodeCidrs: '10.0.0.0/16,10.1.0.0/16',
  nodePorts: '7001-7009',
  routeTableIds: 'rtb-0a1b2c3d',
};

const functionsOf = (built: ReturnType<typeof templates>): readonly Resource[] =>
  [built.api, built.operations].flatMap((template) =>
    resourcesOf(template, 'AWS::Lambda::Function').filter(({ Properties }) => Properties['Description'] !== undefined),
  );
const pushing = Object.values(functionAccess).filter(({ pushes }) => pushes === true).length;
const pushes = ({ Properties }: Resource): boolean =>
  (Properties['Environment'] as { Variables: Record<string, string> }).Variables['PUSH_TO_NODES'] === 'true';

describe('without a VPC', () => {
  const built = templates();
  test('no function is in one, and none pushes: commands ride on heartbeat answers', () => {
    const functions = functionsOf(built);
    expect(functions.filter(({ Properties }) => 'VpcConfig' in Properties)).toEqual([]);
    expect(functions.filter(pushes)).toEqual([]);
    expect(built.network).toBeNull();
  });
});

describe('with a VPC (template only)', () => {
  const built = templates(VPC);
  const network = built.network!;

  test('the functions that push to nodes, and no others, are in its subnets under one security group', () => {
    const functions = functionsOf(built);
    const inside = functions.filter(({ Properties }) => 'VpcConfig' in Properties);
    expect(inside).toHaveLength(pushing);
    expect(functions.filter(pushes)).toEqual(inside);
    for (const { Properties } of inside) {
      const config = Properties['VpcConfig'] as { SubnetIds: unknown; SecurityGroupIds: readonly unknown[] };
      expect(config.SubnetIds).toEqual(SUBNETS);
      expect(config.SecurityGroupIds).toHaveLength(1);
      expect(JSON.stringify(config.SecurityGroupIds)).toMatch(/Functions[0-9A-F]{8}/);
    }
  });

  test('their security group reaches the ports of nodes and AWS, and lets nobody in', () => {
    network.hasResourceProperties('AWS::EC2::SecurityGroup', {
      GroupDescription: Match.stringLikeRegexp('push commands'),
      SecurityGroupEgress: [
        Match.objectLike({ CidrIp: '10.0.0.0/16', IpProtocol: 'tcp', FromPort: 7001, ToPort: 7009 }),
        Match.objectLike({ CidrIp: '10.1.0.0/16', IpProtocol: 'tcp', FromPort: 7001, ToPort: 7009 }),
        Match.objectLike({ CidrIp: '0.0.0.0/0', IpProtocol: 'tcp', FromPort: 443, ToPort: 443 }),
      ],
      SecurityGroupIngress: Match.absent(),
    });
  });

  test('DynamoDB by a gateway, every other service that they call by an interface of its own', () => {
    network.hasResourceProperties('AWS::EC2::VPCEndpoint', {
      VpcEndpointType: 'Gateway',
      VpcId: VPC.vpcId,
      RouteTableIds: ['rtb-0a1b2c3d'],
    });
    const interfaces = resourcesOf(network, 'AWS::EC2::VPCEndpoint').filter(
      ({ Properties }) => Properties['VpcEndpointType'] === 'Interface',
    );
    expect(interfaces).toHaveLength(Object.keys(VPC_SERVICES).length);
    for (const { Properties } of interfaces)
      expect(Properties).toMatchObject({ PrivateDnsEnabled: true, SubnetIds: SUBNETS });
    const called = new Set(
      [built.api, built.operations].flatMap((template) =>
        Object.values(namedResources(template, 'AWS::Lambda::Function'))
          .filter((entry) => 'VpcConfig' in entry.Properties)
          .flatMap((entry) => statementsOf(template, roleOf(entry)))
          .flatMap(({ actions }) => actions.map((action) => action.split(':')[0]!)),
      ),
    );
    // Lambda itself takes the traces out, not the function.
    called.delete('xray');
    expect([...called].toSorted()).toEqual(['dynamodb', ...Object.keys(VPC_SERVICES)].toSorted());
  });

  test('endpoints that exist are not made again', () => {
    const { routeTableIds: _none, ...rest } = VPC;
    const existing = templates({ ...rest, vpcEndpoints: 'existing' });
    existing.network!.resourceCountIs('AWS::EC2::VPCEndpoint', 0);
    expect(functionsOf(existing).filter(pushes)).toHaveLength(pushing);
  });
});

test.each<[string, object]>([
  ['vpcId', { ...VPC, vpcId: 'mine' }],
  ['subnetIds', { ...VPC, subnetIds: '' }],
  ['subnetIds', { ...VPC, subnetIds: 'subnet-0a1b2c3d,subnet-0a1b2c3d' }],
  ['nodeCidrs', { ...VPC, nodeCidrs: '' }],
  ['nodeCidrs', { ...VPC, nodeCidrs: 'everywhere' }],
  ['nodePorts', { ...VPC, nodePorts: '9-7' }],
  ['nodePorts', { ...VPC, nodePorts: '70000' }],
  ['routeTableIds', { ...VPC, routeTableIds: '' }],
  ['vpcEndpoints', { ...VPC, vpcEndpoints: 'some' }],
  ['subnetIds', { subnetIds: 'subnet-0a1b2c3d' }],
])('a wrong or missing %s is refused by name', (name, context) => {
  expect(() => templates(context as Record<string, unknown>)).toThrow(`context ${name}`);
});
