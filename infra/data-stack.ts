import { RemovalPolicy, Stack } from 'aws-cdk-lib';
import type { StackProps } from 'aws-cdk-lib';
import { AttributeType, BillingMode, StreamViewType, Table, TableEncryption } from 'aws-cdk-lib/aws-dynamodb';
import type { ITable } from 'aws-cdk-lib/aws-dynamodb';
import { EventBus } from 'aws-cdk-lib/aws-events';
import { Alias, Key, KeySpec, KeyUsage } from 'aws-cdk-lib/aws-kms';
import type { Construct } from 'constructs';
import { STORE_TABLES } from '../shared/runtime/environment.ts';
import { acknowledge } from './constructs/acknowledge.ts';
import type { DeploymentSettings } from './settings.ts';

/** Attribute of the records that end by themselves; the store writes it (shared/store/codec.ts). */
export const TTL_ATTRIBUTE = 'ttl';

export type StoreTables = { readonly [K in (typeof STORE_TABLES)[number]]: ITable };

/** What outlives every release: the tables by concern, the root keys, the event bus. */
export class DataStack extends Stack {
  readonly tables: StoreTables;
  /** The root of all tokens and commands: the key that signs, then those that are honoured besides. */
  readonly rootKeys: readonly Key[];
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
    this.rootKeys = settings.signingKeys.map((number) => this.rootKey(number, settings));
    const [signing] = this.rootKeys;
    if (signing === undefined) throw new Error('a deployment has at least one root key');
    new Alias(this, 'SigningKeyAlias', { aliasName: signingKeyAlias(settings), targetKey: signing, removalPolicy });
    this.bus = new EventBus(this, 'Bus', { eventBusName: settings.prefix });
  }

  private rootKey(number: string, settings: DeploymentSettings): Key {
    return new Key(this, `SigningKey${number}`, {
      description: `Root signing key ${number} of ${settings.prefix}: tokens and certificates`,
      keySpec: KeySpec.ECC_NIST_P256,
      keyUsage: KeyUsage.SIGN_VERIFY,
      // Without it no token of the cluster can be checked any more: it stays with the tables.
      removalPolicy: removalOf(settings),
    });
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
            timeToLiveAttribute: TTL_ATTRIBUTE,
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

/** Name of the root key that signs; administrators make their tokens with it. */
export const signingKeyAlias = ({ prefix }: DeploymentSettings): string => `alias/${prefix}-signing`;

/** What becomes of data when its stack goes. */
export const removalOf = ({ policy, target }: DeploymentSettings): RemovalPolicy =>
  policy.data === 'kept' && target === 'aws' ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY;
