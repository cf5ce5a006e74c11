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
  TokenAuthority,
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
export const composeDeps = ({ root, ...parts }: Parts): Deps =>
  depsOver({ ...parts, tokens: createTokenAuthority({ clock: parts.clock, root }) });

/** As `composeDeps`, with a token authority that there is already: processes of one test share its keys. */
export function depsOver(parts: Omit<Parts, 'root'> & { readonly tokens: TokenAuthority }): Deps {
  const { store, nodes, ...kept } = parts;
  const { clock, random } = kept;
  const records = createRecords(store, { clock, random });
  const addresses = createAddressBook({ records });
  return {
    ...kept,
    records,
    addresses,
    liveness: createLivenessReader(records),
    directory: createDirectory({ store, records, clock, random }),
    commands: createCommandDispatcher({ ...kept, records, nodes, addresses }),
  };
}
