import type { Json } from './json.ts';

export interface ConfigRecord {
  readonly configKey: string;
  readonly configValue: Json;
  readonly updatedAtMs: number;
}

export interface ReplicationConfig {
  readonly replicationFactor: number;
  readonly strategy: 'rack-aware';
}
