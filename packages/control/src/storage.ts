/** Where a control plane keeps what must survive it: in its own data folder, or in a store that it shares with others. */
import { randomBytes } from "node:crypto";
import { WeftError } from "@weft/core/error";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import { readIfThere, writeAtomic } from "@weft/net/files/files";
import { openKeyValueStore } from "@weft/net/sqlite/key-value-store";
import type { AllocationStore } from "./model/address-allocator.ts";
import { createSharedAddresses, type SharedAddresses } from "./model/shared-addresses.ts";
import { createEmbeddedRegistry, type EmbeddedRegistry, type RegistryBook } from "./registries/embedded/registry.ts";
import { createSharedRegistry } from "./registries/embedded/shared-registry.ts";
import { type EtcdSettings, etcdDialer } from "./registries/etcd/etcd-driver.ts";
import type { ChangePersistence, ConfigStore, ConfigWriter } from "./store/config-store.ts";
import { folderChanges } from "./store/folder-changes.ts";
import { secretInFile } from "./store/secret-file.ts";
import { openEtcdStore } from "./store/shared/etcd-store.ts";
import { createSeal, type Seal } from "./store/shared/seal.ts";
import { createSharedConfig, sharedPersistence } from "./store/shared/shared-config.ts";
import { sharedSecret } from "./store/shared/shared-secret.ts";
import type { SharedStore } from "./store/shared/shared-store.ts";

export interface SharedStoreSettings {
  readonly etcd: EtcdSettings;
  /** What seals secrets in the store, the same for every replica. */
  readonly key: string;
}

export interface StorageOptions {
  readonly dataFolder: string;
  /** Absent: everything is in the data folder. */
  readonly store?: SharedStoreSettings | undefined;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
}

export interface Storage extends AsyncDisposable {
  readonly registry: RegistryBook;
  /** Instances that end by themselves have to be taken out here. */
  readonly expiring: EmbeddedRegistry | undefined;
  readonly persistence: ChangePersistence;
  readonly addresses?: AllocationStore;
  readonly sharedAddresses?: SharedAddresses;
  readonly adminToken: string;
  readonly shared: { readonly store: SharedStore; readonly seal: Seal } | undefined;
  /** Who takes changes of the configuration; the configuration itself where nobody shares it. */
  configWriter(config: ConfigStore): ConfigWriter & Partial<Disposable>;
}

/** Throws WF2031 for a data folder that another control plane has, and what the shared store refuses with. */
export const openStorage = async (options: StorageOptions): Promise<Storage> =>
  options.store ? await openShared(options, options.store) : openOwn(options);

const openOwn = ({ dataFolder, clock, log }: StorageOptions): Storage => {
  using opened = new DisposableStack();
  const registry = createEmbeddedRegistry({
    store: opened.use(openKeyValueStore(`${dataFolder}/registry.sqlite`)),
    clock,
  });
  const addresses = opened.use(openKeyValueStore(`${dataFolder}/addresses.sqlite`));
  const kept = opened.move();
  return {
    registry,
    expiring: registry,
    persistence: folderChanges(`${dataFolder}/config`, log),
    addresses,
    adminToken: secretInFile(`${dataFolder}/admin-token`),
    shared: undefined,
    configWriter: (config) => config,
    [Symbol.asyncDispose]: async () => kept.dispose(),
  };
};

/** How often an idle connection to the store is asked whether it is there. */
const keepaliveMs = 3_000;

const openShared = async (options: StorageOptions, { etcd, key }: SharedStoreSettings): Promise<Storage> => {
  const { dataFolder, setTimer, log } = options;
  await using opened = new AsyncDisposableStack();
  const seal = createSeal(key, randomBytes);
  const disk = opened.use(openKeyValueStore(`${dataFolder}/shared.sqlite`));
  const store = opened.use(
    await openEtcdStore({
      ...options,
      dial: etcdDialer(etcd, keepaliveMs),
      prefix: etcd.prefix,
      credentials: etcd.credentials,
      disk,
    }),
  );
  const registry = opened.use(createSharedRegistry({ store, clock: options.clock }));
  const sharedAddresses = opened.use(createSharedAddresses({ store, setTimer, log }));
  const tokenFile = `${dataFolder}/admin-token`;
  const own = readIfThere(tokenFile)?.trim() || randomBytes(32).toString("base64url");
  const secret = { store, seal, key: "meta/admin-token", isGood: (text: string) => text !== "", make: () => own };
  const adminToken = await sharedSecret(secret);
  writeAtomic(tokenFile, `${adminToken}\n`);
  const config = { store, seal, log };
  const kept = opened.move();
  return {
    registry,
    expiring: undefined,
    persistence: sharedPersistence(config),
    sharedAddresses,
    adminToken,
    shared: { store, seal },
    configWriter: (configStore) => createSharedConfig(config, configStore),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
};

/** Throws WF2203 for a file that is not there or too short. */
export const readStoreKey = (file: string | undefined): string => {
  const next = "make one with: openssl rand -base64 32 > FILE, and give every replica the same with --store-key FILE";
  if (file === undefined) throw new WeftError("WF2203", "--store needs --store-key FILE", { next });
  const text = readIfThere(file)?.trim();
  if (text === undefined) throw new WeftError("WF2203", `there is no file ${file} with the store's key`, { next });
  return text;
};
