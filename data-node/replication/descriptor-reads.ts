import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import type { ControlPlane, Environment } from '../ports.ts';

/** Strong reads of descriptors: one at a time for each shard, and not more often than every `pauseMs`, whoever asks. */
export class DescriptorReads {
  private readonly env: Environment;
  private readonly controlPlane: ControlPlane;
  private readonly pauseMs: number;
  private readonly act: (descriptor: WireDescriptor) => void;
  private readonly underWay = new Set<string>();
  private closed = false;

  constructor(
    env: Environment,
    controlPlane: ControlPlane,
    pauseMs: number,
    act: (descriptor: WireDescriptor) => void,
  ) {
    this.env = env;
    this.controlPlane = controlPlane;
    this.pauseMs = pauseMs;
    this.act = act;
  }

  read(shardId: string): void {
    if (this.closed || this.underWay.has(shardId)) return;
    this.underWay.add(shardId);
    void this.fetch(shardId);
  }

  close(): void {
    this.closed = true;
  }

  private async fetch(shardId: string): Promise<void> {
    try {
      const found = await this.controlPlane.getShard(shardId);
      if (found.ok && found.value !== null && !this.closed) this.act(found.value);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.env.log.warn('descriptor not read', { shard: shardId, error: message });
    }
    this.env.timers.after(this.pauseMs, () => this.underWay.delete(shardId));
  }
}
