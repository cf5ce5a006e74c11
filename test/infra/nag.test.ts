import { AwsSolutionsChecks } from 'cdk-nag';
import { buildApp } from '../../infra/stacks.ts';
import { STAGES } from '../../infra/stages.ts';
import { testApp } from './support.ts';

/** cdk-nag's AwsSolutions rules: what they find is repaired, or acknowledged where it stands with its reason. */
const findings = (context: Record<string, unknown>): readonly string[] => {
  const app = testApp(context);
  buildApp(app);
  const { violations } = new AwsSolutionsChecks(app, { verbose: true }).validateScope(app);
  return violations.flatMap(({ ruleName, violatingResources }) =>
    violatingResources.map(({ constructPath }) => `${ruleName} ${constructPath}`),
  );
};

test.each(STAGES)('%s has no finding without a reason (template only)', (stage) => {
  expect(findings({ stage })).toEqual([]);
});

test('nor has a deployment under a customer key (template only)', () => {
  expect(findings({ encryption: 'customer-key' })).toEqual([]);
});

test('nor has a deployment into a VPC (template only)', () => {
  const network = {
    subnetIds: 'subnet-0a1b2c3d,subnet-1a2b3c4d',
    nodeCidrs: '10.0.0.0/16',
    routeTableIds: 'rtb-0a1b2c3d',
  };
  expect(findings({ vpcId: 'vpc-0a1b2c3d', ...network })).toEqual([]);
});

test('the rules do look: a queue without TLS is found', async () => {
  const { Queue } = await import('aws-cdk-lib/aws-sqs');
  const app = testApp();
  const { data } = buildApp(app);
  new Queue(data, 'Open');
  const { violations } = new AwsSolutionsChecks(app).validateScope(app);
  expect(violations.map(({ ruleName }) => ruleName)).toContain('AwsSolutions-SQS4');
});
