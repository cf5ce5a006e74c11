import * as z from 'zod';
import { putRowRequestSchema } from '../../shared/contracts/data/rows.ts';
import { jsonSchema } from '../../shared/contracts/primitives.ts';

const put = { table: 'rows', shard_id: 's-1', epoch: 1, write_id: 'w-1', key: 'a' };

describe('a value that may be any JSON', () => {
  test.each<[string, unknown]>([
    ['null', null],
    ['false', false],
    ['nothing but brackets', []],
    ['nested', { a: [1, { b: null }], __proto: 'x' }],
  ])('%s is taken as it is', (_what, value) => {
    expect(putRowRequestSchema.parse({ ...put, value }).value).toBe(value);
  });

  test('one that is left out is refused by its name', () => {
    const refused = putRowRequestSchema.safeParse(put);
    expect(refused.error?.issues).toMatchObject([{ path: ['value'], message: 'must be a JSON value' }]);
  });

  test('it may be optional, and is any value in JSON Schema', () => {
    expect(z.strictObject({ value: jsonSchema.optional() }).parse({})).toEqual({});
    expect(z.toJSONSchema(z.object({ value: jsonSchema }))).toMatchObject({
      properties: { value: {} },
      required: ['value'],
    });
  });
});
