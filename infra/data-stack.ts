import { RemovalPolicy, Stack } from 'aws-cdk-lib';
import type { StackProps } from 'aws-cdk-lib';
import { AttributeType, BillingMode, StreamViewType, Table, TableEncryption } from 'aws-cdk-lib/aws-dynamodb';
import type { ITable } from 'aws-cdk-lib/aws-dynamodb';
import { EventBus } from 'aws-cdk-lib/aws-events';
import { Key } from 'aws-cdk-lib/aws-kms';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { STORE_TABLES } from '../shared/runtime/environment.ts';
import { acknowledge } from './constructs/acknowledge.ts';
import type { DeploymentSettings } from './settings.ts';

export type StoreTables = { readonly [K in (typeof STORE_TABLES)[number]]: ITable };

/** Characters of the secret from which the signing key is derived: letters and digits, about 5.9 bits each. */
const SIGNING_SECRET_CHARS = 64;

/** What outlives every release: the tables by concern, the signing secret, the event bus. */
export class DataStack extends Stack {
  readonly tables: StoreTables;
  readonly signingSecret: Secret;
  readonly bus: EventBus;
  /** The key of the account under which data rests; undefined: AWS's own keys. */
  readonly key: Key | undefined;

  constructor(scope: Construct, id: string, settings: DeploymentSettings, props?: StackProps) {
    super(scope, id, props);
    const removalPolicy = removalOf(settings);
    this.key =
      settings.encryption === 'customer-key'
        ? new Key(this, 'Key', {
            alias: settings.prefix,
            description: `Data at rest of ${settings.prefix}`,
            enableKeyRotation: true,
            removalPolicy,
          })
        : undefined;
    const tables = STORE_TABLES.map((name) => [name, this.table(name, settings)] as const);
    this.tables = Object.fromEntries(tables) as unknown as StoreTables;
    this.signingSecret = new Secret(this, 'SigningSecret', {
      secretName: `${settings.prefix}/signing`,
      description: 'Random text from which the ES256 signing key of the control plane is derived',
      generateSecretString: { passwordLength: SIGNING_SECRET_CHARS, excludePunctuation: true },
      // Without it no token and no command of the cluster can be checked any more: it stays with the tables.
      removalPolicy,
      // By its ARN: CDK would write every reader's role into the key's policy, across stacks that already lean on this one. The
      // policies of the readers' roles allow the key.
      ...(this.key === undefined ? {} : { encryptionKey: Key.fromKeyArn(this, 'SecretKey', this.key.keyArn) }),
    });
    acknowledge(this.signingSecret, {
      SMG4: 'A new secret is a new signing key: nodes and clients must learn it first, so a person changes it.',
    });
    this.bus = new EventBus(this, 'Bus', { eventBusName: settings.prefix });
  }

  private table(name: (typeof STORE_TABLES)[number], settings: DeploymentSettings): Table {
    const { policy } = settings;
    const table = new Table(this, `${name.charAt(0).toUpperCase()}${name.slice(1)}`, {
      tableName: `${settings.prefix}-${name}`,
      partitionKey: { name: 'pk', type: AttributeType.STRING },
      sortKey: { name: 'sk', type: AttributeType.STRING },
      billingMode: BillingMode.PAY_PER_REQUEST,
      removalPolicy: removalOf(settings),
      ...(settings.target === 'aws'
        ? {
            ...(this.key === undefined
              ? { encryption: TableEncryption.AWS_MANAGED }
              : { encryption: TableEncryption.CUSTOMER_MANAGED, encryptionKey: this.key }),
            deletionProtection: policy.deletionProtection,
            pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: policy.pointInTimeRecovery },
          }
        : {}),
      // The outbox: committed events leave by the stream.
      ...(name === 'events' ? { stream: StreamViewType.NEW_IMAGE } : {}),
    });
    if (!policy.pointInTimeRecovery) {
      acknowledge(table, { DDB3: 'A development stage keeps nothing that is worth a backup.' });
    }
    return table;
  }
}

/** What becomes of data when its stack goes. */
export const removalOf = ({ policy, target }: DeploymentSettings): RemovalPolicy =>
  policy.data === 'kept' && target === 'aws' ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY;
