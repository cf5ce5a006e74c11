import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { buildApp } from '../../infra/stacks.ts';

/** Templates of the stacks (bundling switched off: what is bundled is tested where it runs). */
export function templates(context: Record<string, unknown> = {}) {
  const { data, network, operations, api } = buildApp(testApp(context));
  return {
    data: Template.fromStack(data),
    /** null: no VPC is given. */
    network: network === null ? null : Template.fromStack(network),
    operations: Template.fromStack(operations),
    api: Template.fromStack(api),
  };
}

export const testApp = (context: Record<string, unknown> = {}): App =>
  new App({ context: { 'aws:cdk:bundling-stacks': [], ...context } });

export interface Resource {
  readonly Type: string;
  readonly Properties: Readonly<Record<string, unknown>>;
  readonly DeletionPolicy?: string;
}

export const resourcesOf = (template: Template, type: string): readonly Resource[] =>
  Object.values(namedResources(template, type));

export const namedResources = (template: Template, type: string): Readonly<Record<string, Resource>> =>
  template.findResources(type) as unknown as Readonly<Record<string, Resource>>;

/** A statement of a policy, with its lists as lists. */
export interface Statement {
  readonly actions: readonly string[];
  readonly resources: readonly unknown[];
}

interface RawStatement {
  readonly Action: string | readonly string[];
  readonly Resource: unknown;
}

const list = <T>(value: T | readonly T[]): readonly T[] =>
  Array.isArray(value) ? (value as readonly T[]) : [value as T];

/** What the inline policies of a role allow; `role` is the role's logical id. */
export function statementsOf(template: Template, role: string): readonly Statement[] {
  return resourcesOf(template, 'AWS::IAM::Policy')
    .filter((policy) => JSON.stringify(policy.Properties['Roles']) === JSON.stringify([{ Ref: role }]))
    .flatMap((policy) => (policy.Properties['PolicyDocument'] as { Statement: readonly RawStatement[] }).Statement)
    .map((statement) => ({ actions: list(statement.Action), resources: list(statement.Resource) }));
}

/** Logical id of the role that a function or state machine runs under. */
export function roleOf(resource: Resource): string {
  const role = (resource.Properties['Role'] ?? resource.Properties['RoleArn']) as { 'Fn::GetAtt': [string, string] };
  return role['Fn::GetAtt'][0];
}
