import { calls } from '../contracts/api/index.ts';
import type { CallName } from '../contracts/api/index.ts';
import type { Call, Resource } from '../contracts/api/call.ts';
import { invalid, notFound } from '../domain/faults.ts';
import { Refusal } from './problem.ts';

/** Routing inside one Lambda entry, by the contract's table of calls: API Gateway only knows one `{proxy+}` per resource. */

export interface Match {
  readonly name: CallName;
  readonly call: Call;
  /** Decoded path parameters, not yet validated. */
  readonly params: Readonly<Record<string, string>>;
}

interface Route {
  readonly name: CallName;
  readonly call: Call;
  readonly segments: readonly string[];
}

const isParameter = (segment: string): boolean => segment.startsWith('{');

function routesOf(resource: Resource | 'all'): readonly Route[] {
  const routes = (Object.entries(calls) as [CallName, Call][])
    .filter(([, call]) => resource === 'all' || call.resource === resource)
    .map(([name, call]) => ({ name, call, segments: call.path.split('/').slice(1) }));
  // Literal segments before parameters: `/cluster/nodes/register` is not a node.
  const parameters = (route: Route): number => route.segments.filter(isParameter).length;
  return routes.toSorted((left, right) => parameters(left) - parameters(right));
}

function matchSegments(route: Route, segments: readonly string[]): Record<string, string> | null {
  if (route.segments.length !== segments.length) return null;
  const params: Record<string, string> = {};
  for (const [index, pattern] of route.segments.entries()) {
    const segment = segments[index] ?? '';
    if (isParameter(pattern)) params[pattern.slice(1, -1)] = segment;
    else if (pattern !== segment) return null;
  }
  return params;
}

/** Paths whose matches are remembered: nodes ask for the same few again and again. Beyond it all are forgotten. */
const PATHS_KEPT_MAX = 1_024;

export type Router = (method: string, path: string) => Match;

/** Finds the call of a request. Throws `Refusal`: 404 unknown path, 405 with the methods allowed, 400 bad percent-encoding. */
export function createRouter(resource: Resource | 'all'): Router {
  const routes = routesOf(resource);
  const foundBefore = new Map<string, readonly Match[]>();
  const findAll = (path: string): readonly Match[] => {
    const known = foundBefore.get(path);
    if (known !== undefined) return known;
    const segments = decodeSegments(path);
    const found = routes.flatMap((route): Match[] => {
      const params = matchSegments(route, segments);
      return params === null ? [] : [{ name: route.name, call: route.call, params }];
    });
    if (foundBefore.size >= PATHS_KEPT_MAX) foundBefore.clear();
    foundBefore.set(path, found);
    return found;
  };
  return (method, path) => {
    const found = findAll(path);
    const match = found.find((candidate) => candidate.call.method === method);
    if (match !== undefined) return match;
    if (found.length === 0) {
      throw new Refusal(notFound('NOT_FOUND', 'There is no such path. GET /openapi.json lists all of them.'));
    }
    const allow = [...new Set(found.map((candidate) => candidate.call.method))].toSorted();
    const message = `${path.slice(0, 200)} takes ${allow.join(', ')}.`;
    throw new Refusal({ kind: 'HTTP', code: 'METHOD_NOT_ALLOWED', message, allow });
  };
}

function decodeSegments(path: string): readonly string[] {
  try {
    return path.split('/').slice(1).map(decodeURIComponent);
  } catch {
    throw new Refusal(invalid('INVALID_REQUEST', 'The path is not percent-encoded UTF-8.', { field: 'path' }));
  }
}
