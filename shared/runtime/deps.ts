import { createAddressBook } from '../adapters/address-book.ts';
import { createCommandDispatcher } from '../adapters/command-dispatcher.ts';
import { createTokenAuthority } from '../adapters/token-authority.ts';
import type {
  Clock,
  Deps,
  Logger,
  MetadataStore,
  NodeClient,
  OperationStarter,
  Random,
  RootSigner,
  Settings,
  Timers,
} from '../ports.ts';
import { createDirectory } from '../store/directory.ts';
import { createLivenessReader } from '../store/liveness-reader.ts';
import { createRecords } from '../store/records.ts';

/** What differs between Lambda, the local runner and the simulation; everything else is composed from it. */
export interface Parts {
  readonly store: MetadataStore;
  readonly nodes: NodeClient;
  readonly operations: OperationStarter;
  readonly root: RootSigner;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  readonly settings: Settings;
}

/** The one place where use cases get what they work with. */
export function composeDeps(parts: Parts): Deps {
  const { store, clock, timers, random, log, settings, operations } = parts;
  const records = createRecords(store, { clock, random });
  const tokens = createTokenAuthority({ clock, root: parts.root });
  const addresses = createAddressBook({ records });
  const commands = createCommandDispatcher({
    records,
    nodes: parts.nodes,
    tokens,
    addresses,
    operations,
    clock,
    random,
    log,
    settings,
  });
  const directory = createDirectory({ store, records, clock, random });
  const liveness = createLivenessReader(records);
  return {
    records,
    liveness,
    directory,
    commands,
    addresses,
    operations,
    tokens,
    clock,
    timers,
    random,
    log,
    settings,
  };
}
