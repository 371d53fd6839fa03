/** The drivers of outside registries: a new one is its own folder and one line here. */
import { etcdDriver } from "../etcd/etcd-driver.ts";
import { zookeeperDriver } from "../zookeeper/zookeeper-driver.ts";
import type { Driver } from "./driver.ts";

export const registryDrivers: readonly Driver[] = [etcdDriver, zookeeperDriver];
