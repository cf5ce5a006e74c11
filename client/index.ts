import { ShardkeeperClient } from './client.ts';
import type { ClientOptions } from './client.ts';
import { systemEnvironment } from './system/environment.ts';
import { systemNetwork } from './system/http.ts';
import type { SystemNetwork } from './system/http.ts';

export { ShardkeeperClient } from './client.ts';
export type {
  BatchResult,
  BatchRow,
  CallOptions,
  ClientOptions,
  JsonValue,
  Row,
  ScanRange,
  WriteOptions,
  Written,
} from './client.ts';
export { ControlPlane } from './control-plane.ts';
export type { ApiCall, ApiOutcome } from './control-plane.ts';
export { ClientError } from './errors.ts';
export type { ClientErrorCode, Outcome } from './errors.ts';
export type { ClientEnvironment, ClientNetwork, HttpCall, HttpOutcome } from './ports.ts';
export { systemEnvironment } from './system/environment.ts';
export { systemNetwork } from './system/http.ts';
export type { SystemNetwork } from './system/http.ts';

/** A client over real sockets and clocks, which follows the routes that it uses unless told not to. `close` ends that and its idle connections. */
export function connect(options: Pick<ClientOptions, 'url' | 'token' | 'deadlineMs' | 'followRoutes'>): {
  readonly client: ShardkeeperClient;
  readonly network: SystemNetwork;
  readonly close: () => void;
} {
  const network = systemNetwork();
  const client = new ShardkeeperClient({
    followRoutes: 'in-background',
    ...options,
    network,
    environment: systemEnvironment,
  });
  return {
    client,
    network,
    close: () => {
      client.close();
      network.close();
    },
  };
}
