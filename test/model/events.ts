/**
 * What a run of the simulation shows of the protocol, in the model's terms (model/leadership.pml): durable effects of the nodes, commits of
 * the store, acknowledgements that reached a client. In the order in which they took effect.
 */
export interface Position {
  readonly epoch: number;
  readonly seq: number;
}
export interface KeyRange {
  readonly from: string;
  /** Exclusive; null: to the end. */
  readonly to: string | null;
  /** Of the descriptor that says so. */
  readonly generation: number;
}
export interface Entry extends Position {
  readonly writes: readonly { readonly key: string; readonly value: string }[];
}
export interface CopyState {
  readonly shard: string;
  readonly promised: number;
  /** Epoch of the step-down receipt; 0: none. */
  readonly receipt: number;
  readonly last: Position;
  readonly intact: boolean;
}
export interface Listed {
  readonly node: string;
  readonly nodeEpoch: number;
  readonly inSync: boolean;
}

export type ModelEvent =
  /** A fence or a registration (L1, L4). */
  | { readonly type: 'node'; readonly node: string; readonly epoch: number }
  | {
      readonly type: 'descriptor';
      readonly shard: string;
      readonly epoch: number;
      readonly generation: number;
      readonly leader: string;
      readonly replicas: readonly Listed[];
      readonly intent: boolean;
    }
  /** A process opened its directory and found this. */
  | { readonly type: 'opened'; readonly node: string; readonly copies: readonly CopyState[] }
  | { readonly type: 'created'; readonly node: string; readonly shard: string; readonly promised: number }
  | { readonly type: 'ranged'; readonly node: string; readonly shard: string; readonly range: KeyRange }
  | { readonly type: 'promised'; readonly node: string; readonly shard: string; readonly epoch: number }
  | { readonly type: 'receipt'; readonly node: string; readonly shard: string; readonly epoch: number }
  | { readonly type: 'appended'; readonly node: string; readonly shard: string; readonly entries: readonly Entry[] }
  | { readonly type: 'truncated'; readonly node: string; readonly shard: string; readonly seq: number }
  /** A snapshot of everything up to `at` took the copy's place. */
  | { readonly type: 'loaded'; readonly node: string; readonly shard: string; readonly at: Position }
  | { readonly type: 'forked'; readonly node: string; readonly shard: string; readonly child: CopyState }
  | {
      readonly type: 'joined';
      readonly node: string;
      readonly shard: string;
      readonly right: string;
      readonly base: Position;
    }
  /** What the copy holds is no proof of anything until it is loaded. */
  | { readonly type: 'voided'; readonly node: string; readonly shard: string }
  | { readonly type: 'removed'; readonly node: string; readonly shard: string }
  /** A client was told that its write is durable. Values are unique in a run. */
  | { readonly type: 'acknowledged'; readonly key: string; readonly value: string };
