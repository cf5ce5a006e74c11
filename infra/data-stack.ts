import { RemovalPolicy, Stack } from 'aws-cdk-lib';
import type { StackProps } from 'aws-cdk-lib';
import { AttributeType, BillingMode, StreamViewType, Table, TableEncryption } from 'aws-cdk-lib/aws-dynamodb';
import { EventBus } from 'aws-cdk-lib/aws-events';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { ITable } from 'aws-cdk-lib/aws-dynamodb';
import type { Construct } from 'constructs';
import { STORE_TABLES } from '../shared/runtime/environment.ts';
import type { DeploymentSettings } from './settings.ts';

export type StoreTables = { readonly [K in (typeof STORE_TABLES)[number]]: ITable };

/** Characters of the secret from which the signing key is derived: letters and digits, about 5.9 bits each. */
const SIGNING_SECRET_CHARS = 64;

/** What outlives every release: the tables by concern, the signing secret, the event bus. */
export class DataStack extends Stack {
  readonly tables: StoreTables;
  readonly signingSecret: Secret;
  readonly bus: EventBus;

  constructor(scope: Construct, id: string, settings: DeploymentSettings, props?: StackProps) {
    super(scope, id, props);
    const tables = STORE_TABLES.map((name) => [name, this.table(name, settings)] as const);
    this.tables = Object.fromEntries(tables) as unknown as StoreTables;
    this.signingSecret = new Secret(this, 'SigningSecret', {
      secretName: `${settings.prefix}/signing`,
      description: 'Random text from which the ES256 signing key of the control plane is derived',
      generateSecretString: { passwordLength: SIGNING_SECRET_CHARS, excludePunctuation: true },
    });
    this.bus = new EventBus(this, 'Bus', { eventBusName: settings.prefix });
  }

  private table(name: (typeof STORE_TABLES)[number], settings: DeploymentSettings): Table {
    return new Table(this, `${name.charAt(0).toUpperCase()}${name.slice(1)}`, {
      tableName: `${settings.prefix}-${name}`,
      partitionKey: { name: 'pk', type: AttributeType.STRING },
      sortKey: { name: 'sk', type: AttributeType.STRING },
      billingMode: BillingMode.PAY_PER_REQUEST,
      // The metadata of a database: it goes only when somebody deletes it by hand.
      removalPolicy: settings.target === 'aws' ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
      ...(settings.target === 'aws'
        ? {
            encryption: TableEncryption.AWS_MANAGED,
            deletionProtection: true,
            pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
          }
        : {}),
      // The outbox: committed events leave by the stream.
      ...(name === 'events' ? { stream: StreamViewType.NEW_IMAGE } : {}),
    });
  }
}
