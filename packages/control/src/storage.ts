/** Where a control plane keeps what must survive it: in its own data folder, or in a store that it shares with others. */
import { randomBytes } from "node:crypto";
import { WeftError } from "@weft/core/error";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import { readIfThere, writeAtomic } from "@weft/net/files/files";
import { openKeyValueStore } from "@weft/net/sqlite/key-value-store";
import type { AllocationStore } from "./model/address-allocator.ts";
import { createSharedAddresses, type SharedAddresses } from "./model/shared-addresses.ts";
import { readOwnState } from "./own-state.ts";
import { createGroupedRegistry } from "./registries/embedded/grouped-registry.ts";
import { createEmbeddedRegistry, type EmbeddedRegistry, type RegistryBook } from "./registries/embedded/registry.ts";
import { openSharedExpiry } from "./registries/embedded/shared-expiry.ts";
import { createSharedRegistry } from "./registries/embedded/shared-registry.ts";
import { openVersionMark } from "./registries/embedded/version-mark.ts";
import { type EtcdSettings, etcdDialer } from "./registries/etcd/etcd-driver.ts";
import type { ChangePersistence, ConfigStore, ConfigWriter } from "./store/config-store.ts";
import { folderChanges } from "./store/folder-changes.ts";
import { secretInFile } from "./store/secret-file.ts";
import { openEtcdStore, rootRecordKey } from "./store/shared/etcd-store.ts";
import { openReplica, type Replica } from "./store/shared/replica.ts";
import { createSeal, type Seal } from "./store/shared/seal.ts";
import { createSharedConfig, sharedPersistence } from "./store/shared/shared-config.ts";
import { sharedSecret } from "./store/shared/shared-secret.ts";
import type { SharedStore } from "./store/shared/shared-store.ts";
import { takeOver } from "./store/shared/take-over.ts";

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
  readonly shared: { readonly store: SharedStore; readonly seal: Seal; readonly replica: Replica } | undefined;
  /** Who takes changes of the configuration; the configuration itself where nobody shares it. */
  configWriter(config: ConfigStore): ConfigWriter & Partial<Disposable>;
}

/** Throws WF2031 for a data folder that another control plane has, and what the shared store refuses with. */
export const openStorage = async (options: StorageOptions): Promise<Storage> =>
  options.store ? await openShared(options, options.store) : openOwn(options);

const openOwn = ({ dataFolder, clock, setTimer, log }: StorageOptions): Storage => {
  using opened = new DisposableStack();
  const registry = createEmbeddedRegistry({
    store: opened.use(openKeyValueStore(`${dataFolder}/registry.sqlite`)),
    clock,
    damaged: (instance) => log.error("WF2261 a registration that was kept is damaged and left out", { instance }),
  });
  opened.use(openVersionMark({ path: `${dataFolder}/registry-version`, registry, setTimer, log }));
  const addresses = opened.use(openKeyValueStore(`${dataFolder}/addresses.sqlite`));
  const grouped = opened.use(createGroupedRegistry(registry, setTimer));
  const kept = opened.move();
  return {
    registry: grouped,
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
  const { clock } = options;
  if (!store.get(rootRecordKey)) {
    const taken = await takeOver({ store, seal, own: readOwnState(options), wallMs: clock.wallMs() });
    if (Object.values(taken).some((count) => count > 0))
      log.info("the shared store is new and has taken over what the data folder had", taken);
  }
  const id = randomBytes(8).toString("hex");
  const replica = opened.use(openReplica({ store, id, clock, setTimer, log }));
  const registry = opened.use(createSharedRegistry({ store, clock }));
  opened.use(openSharedExpiry({ store, replica, registry, clock, setTimer, log }));
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
    shared: { store, seal, replica },
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
