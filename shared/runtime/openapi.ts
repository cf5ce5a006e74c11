import * as z from 'zod';
import { calls } from '../contracts/api/index.ts';
import type { Call } from '../contracts/api/call.ts';
import { PROBLEM_CONTENT_TYPE, problemSchema } from '../contracts/api/problem.ts';
import type { Json } from '../domain/records.ts';

/** The REST API as OpenAPI 3.1, generated from the table of calls: it can't differ from what the functions check. */

interface JsonObject {
  [key: string]: unknown;
}

export const OPENAPI_VERSION = '3.1.0';
const SCHEMAS = '#/components/schemas/';

/** Every refusal that a call may meet, by status. */
const PROBLEMS: Readonly<Record<string, string>> = {
  400: 'A field is missing, unknown, malformed or out of bounds; `field` names it',
  401: 'No token, or one that is invalid or expired',
  403: 'The token is of a kind that may not make this call, or speaks for another node',
  404: 'There is no such thing',
  405: 'The path takes other methods; see `Allow`',
  409: 'It conflicts with the present state; `code` tells which conflict',
  413: 'The body is too large',
  429: 'Overload; retry after `Retry-After` seconds',
  503: 'The store did not answer; retry after `Retry-After` seconds',
};

export function openApiDocument(version: string): Json {
  const schemas: JsonObject = {};
  const problem = component(schemas, 'Problem', problemSchema, 'output');
  const paths: Record<string, JsonObject> = {};
  for (const [name, call] of Object.entries(calls) as [string, Call][]) {
    const path = (paths[call.path] ??= {});
    path[call.method.toLowerCase()] = operation(schemas, name, call, problem);
  }
  return {
    openapi: OPENAPI_VERSION,
    info: {
      title: 'Shardkeeper',
      version,
      description:
        'Control plane of a range-sharded, replicated database. Errors are RFC 9457 problem details with a stable `code`.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'ES256 JWT of the control plane' },
      },
    },
  } as unknown as Json;
}

function operation(schemas: JsonObject, name: string, call: Call, problem: JsonObject): JsonObject {
  const isPublic = call.callers.includes('public');
  const title = `${name.charAt(0).toUpperCase()}${name.slice(1)}`;
  const responses: JsonObject = {
    200: {
      description: 'Done',
      ...(call.revisionOf !== undefined && call.method === 'GET' ? { headers: { ETag: ETAG_HEADER } } : {}),
      content: { 'application/json': { schema: component(schemas, `${title}Response`, call.response, 'output') } },
    },
  };
  const takesIfMatch = call.revisionOf !== undefined && call.method !== 'GET';
  if (takesIfMatch)
    responses['412'] = { description: IF_MATCH_FAILED, content: { [PROBLEM_CONTENT_TYPE]: { schema: problem } } };
  for (const [status, description] of Object.entries(PROBLEMS)) {
    if (isPublic && (status === '401' || status === '403')) continue;
    responses[status] = { description, content: { [PROBLEM_CONTENT_TYPE]: { schema: problem } } };
  }
  return {
    operationId: name,
    summary: call.summary,
    tags: [call.resource],
    'x-callers': call.callers,
    security: isPublic ? [] : [{ bearer: [] }],
    parameters: [
      ...parameters(call.params, 'path'),
      ...parameters(call.query, 'query'),
      ...(call.idempotent === true ? [IDEMPOTENCY_PARAMETER] : []),
      ...(takesIfMatch ? [IF_MATCH_PARAMETER] : []),
    ],
    ...(call.body === undefined
      ? {}
      : {
          requestBody: {
            required: !call.body.safeParse(undefined).success,
            content: { 'application/json': { schema: component(schemas, `${title}Request`, call.body, 'input') } },
          },
        }),
    responses,
  };
}

const IDEMPOTENCY_PARAMETER = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description: 'Same key and body: one effect and the same answer for 24 h. Same key, other body: 409.',
  schema: { type: 'string', minLength: 1, maxLength: 255 },
};

const REVISION_SCHEMA = { type: 'string', pattern: '^"(0|[1-9][0-9]*)"$', example: '"7"' };
const IF_MATCH_FAILED = 'The resource no longer has the revision that `If-Match` names; nothing was changed';
const IF_MATCH_PARAMETER = {
  name: 'If-Match',
  in: 'header',
  required: false,
  description: 'Change the resource only if it still has this revision, as `ETag` showed it; else 412.',
  schema: REVISION_SCHEMA,
};
const ETAG_HEADER = { description: 'Revision of the resource, for `If-Match`', schema: REVISION_SCHEMA };

function parameters(schema: z.ZodObject | undefined, place: 'path' | 'query'): JsonObject[] {
  if (schema === undefined) return [];
  return (Object.entries(schema.shape) as [string, z.ZodType][]).map(([name, part]) => ({
    name,
    in: place,
    required: place === 'path' || !part.safeParse(undefined).success,
    // Query parameters arrive as text and are read as the type that comes out.
    schema: jsonSchema(part, 'output').root,
  }));
}

/** Adds a schema to the components and returns a reference to it. */
function component(schemas: JsonObject, name: string, schema: z.ZodType, io: 'input' | 'output'): JsonObject {
  const { root, definitions } = jsonSchema(schema, io, name);
  schemas[name] = root;
  for (const [definition, value] of Object.entries(definitions)) schemas[`${name}.${definition}`] = value;
  return { $ref: `${SCHEMAS}${name}` };
}

/** JSON Schema of a zod schema, with its inner definitions apart and its references pointing into the components. */
function jsonSchema(
  schema: z.ZodType,
  io: 'input' | 'output',
  name = '',
): { root: JsonObject; definitions: Record<string, unknown> } {
  const generated = z.toJSONSchema(schema, { io, target: 'draft-2020-12', unrepresentable: 'any' }) as JsonObject;
  const moved = JSON.parse(JSON.stringify(generated), (key, value: unknown) => {
    if (key !== '$ref' || typeof value !== 'string') return value;
    return value === '#' ? `${SCHEMAS}${name}` : value.replace('#/$defs/', `${SCHEMAS}${name}.`);
  }) as JsonObject;
  const { $schema: _draft, $defs, ...root } = moved;
  return { root, definitions: ($defs ?? {}) as Record<string, unknown> };
}
