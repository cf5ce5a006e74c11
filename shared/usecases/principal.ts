import { assertNever } from '../domain/result.ts';
import type { Principal } from '../ports.ts';

/** The principal as audit entries and records name it. */
export function principalName(principal: Principal): string {
  switch (principal.kind) {
    case 'admin':
      return `admin:${principal.name}`;
    case 'joiner':
      return `join-token:${principal.tokenId}`;
    case 'node':
    case 'nodeKey':
      return `node:${principal.nodeId}`;
    case 'system':
      return `system:${principal.name}`;
    default:
      return assertNever(principal);
  }
}

/** The control plane acting by itself. */
export const SYSTEM = (name: 'detector' | 'reconciler' | 'operation' | 'reports' | 'runner'): Principal => ({
  kind: 'system',
  name,
});
