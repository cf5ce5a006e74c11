import { assertNever } from '../domain/result.ts';
import type { Json } from '../domain/records.ts';
import type { Condition, FieldPath, ItemKey, ItemWrite } from '../ports.ts';
import { definedFields } from './body.ts';
import { revisionUnder, STORE_ATTRIBUTES } from './limits.ts';

/**
 * The conditional write, said to DynamoDB: the one place where condition and update expressions are built. Every put and
 * update carries the write id and raises the revision.
 */
export interface ExpressionParts {
  readonly ConditionExpression?: string;
  readonly ExpressionAttributeNames?: Record<string, string>;
  readonly ExpressionAttributeValues?: Record<string, Json>;
}

/** Parts of a request on one item, table name and return values apart. Same shape for single writes and transactions. */
export type WriteParts =
  | ({ readonly kind: 'put'; readonly Item: Record<string, Json> } & ExpressionParts)
  | ({
      readonly kind: 'update';
      readonly Key: Record<string, string>;
      readonly UpdateExpression: string;
    } & ExpressionParts)
  | ({ readonly kind: 'delete' | 'check'; readonly Key: Record<string, string> } & ExpressionParts);

const { partitionKey, sortKey, revision: revisionAttribute, writeId: writeIdAttribute } = STORE_ATTRIBUTES;

export const keyAttributes = (key: ItemKey): Record<string, string> => ({ [partitionKey]: key.pk, [sortKey]: key.sk });

export function buildWrite(write: ItemWrite, writeId: string): WriteParts {
  const expression = new Expression();
  switch (write.kind) {
    case 'put': {
      const Item = {
        ...definedFields(write.body),
        ...keyAttributes(write.key),
        [revisionAttribute]: revisionUnder(write.when),
        [writeIdAttribute]: writeId,
      };
      return { kind: 'put', Item, ...expression.parts(write.when) };
    }
    case 'update': {
      const revision = expression.name(revisionAttribute);
      const assignments = [
        `${revision} = ${revision} + ${expression.value(1)}`,
        `${expression.name(writeIdAttribute)} = ${expression.value(writeId)}`,
        ...Object.entries(definedFields(write.set)).map(
          ([field, value]) => `${expression.name(field)} = ${expression.value(value)}`,
        ),
      ];
      const removals: string[] = [];
      for (const change of write.entries ?? []) {
        const path = expression.path([change.field, change.entry]);
        if (change.kind === 'remove') removals.push(path);
        else assignments.push(`${path} = ${expression.value(change.value)}`);
      }
      return {
        kind: 'update',
        Key: keyAttributes(write.key),
        UpdateExpression: `SET ${assignments.join(', ')}${removals.length === 0 ? '' : ` REMOVE ${removals.join(', ')}`}`,
        ...expression.parts([{ kind: 'present' }, ...write.when], mapFields(write)),
      };
    }
    case 'delete':
    case 'check':
      return { kind: write.kind, Key: keyAttributes(write.key), ...expression.parts(write.when) };
    default:
      return assertNever(write);
  }
}

/** Fields of which an update writes entries: they must hold maps. */
export const mapFields = (write: Extract<ItemWrite, { kind: 'update' }>): ReadonlySet<string> =>
  new Set((write.entries ?? []).map(({ field }) => field));

/** Collects placeholders; equal names and values share one. */
class Expression {
  readonly #names = new Map<string, string>();
  readonly #values = new Map<string, { placeholder: string; value: Json }>();

  name(attribute: string): string {
    const known = this.#names.get(attribute);
    if (known !== undefined) return known;
    const placeholder = `#n${this.#names.size}`;
    this.#names.set(attribute, placeholder);
    return placeholder;
  }

  value(value: Json): string {
    const text = JSON.stringify(value);
    const known = this.#values.get(text);
    if (known !== undefined) return known.placeholder;
    const placeholder = `:v${this.#values.size}`;
    this.#values.set(text, { placeholder, value });
    return placeholder;
  }

  parts(when: readonly Condition[], maps: ReadonlySet<string> = new Set()): ExpressionParts {
    const conditions = [
      ...when.map((condition) => this.#condition(condition)),
      // `M` is DynamoDB's name of the type map.
      ...[...maps].map((field) => `attribute_type(${this.name(field)}, ${this.value('M')})`),
    ].join(' AND ');
    return {
      ...(conditions === '' ? {} : { ConditionExpression: conditions }),
      ...(this.#names.size === 0
        ? {}
        : { ExpressionAttributeNames: Object.fromEntries([...this.#names].map(([name, ref]) => [ref, name])) }),
      ...(this.#values.size === 0
        ? {}
        : {
            ExpressionAttributeValues: Object.fromEntries(
              [...this.#values.values()].map(({ placeholder, value }) => [placeholder, value]),
            ),
          }),
    };
  }

  path(path: FieldPath): string {
    return typeof path === 'string' ? this.name(path) : `${this.name(path[0])}.${this.name(path[1])}`;
  }

  #condition(condition: Condition): string {
    switch (condition.kind) {
      case 'absent':
        return `attribute_not_exists(${this.name(partitionKey)})`;
      case 'present':
        return `attribute_exists(${this.name(partitionKey)})`;
      case 'revision':
        return `${this.name(revisionAttribute)} = ${this.value(condition.is)}`;
      case 'equals':
        return `${this.path(condition.field)} = ${this.value(condition.value)}`;
      case 'below':
        return `${this.path(condition.field)} < ${this.value(condition.value)}`;
      default:
        return assertNever(condition);
    }
  }
}
