/** The drivers of outside registries: a new one is its own folder and one line here. */
import { consulDriver } from "../consul/consul-driver.ts";
import { etcdDriver } from "../etcd/etcd-driver.ts";
import { nacosDriver } from "../nacos/nacos-driver.ts";
import { zookeeperDriver } from "../zookeeper/zookeeper-driver.ts";
import type { Driver } from "./driver.ts";

export const registryDrivers: readonly Driver[] = [consulDriver, etcdDriver, zookeeperDriver, nacosDriver];
