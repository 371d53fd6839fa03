/** Registries that come back with an older state: what registered since is held and called, and back as soon as it says so. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { type EchoServer, startEchoServer } from "@weft/testkit/echo-server";
import { startSidecar, type TestSidecar } from "@weft/testkit/sidecar";
import { portsBecome, sourceOf, stateBecomes } from "../registries/sources.ts";
import { copyState } from "./older-state.ts";
import {
  answersBy,
  openAll,
  openConsul,
  openEtcd,
  openNacos,
  openNacosByHttp,
  openZookeeper,
  type Registry,
} from "./registries.ts";

const kinds = new Map([
  ["etcd", openEtcd],
  ["ZooKeeper", openZookeeper],
  ["Consul", openConsul],
  ["Nacos", openNacos],
  ["Nacos over HTTP", openNacosByHttp],
]);
const stack = new AsyncDisposableStack();
const opened = new Map<string, Registry>();
let cp: TestControlPlane;
let web: TestSidecar;
let echo: EchoServer;
before(async () => {
  await openAll([...kinds].map(async ([kind, open]) => void opened.set(kind, stack.use(await open()))));
  echo = stack.use(await startEchoServer("live"));
  cp = stack.use(await startControlPlane({ args: [...opened.values()].flatMap(({ url }) => ["--registry", url]) }));
  web = stack.use(await startSidecar(cp, { name: "web" }));
});
after(() => stack.disposeAsync());

// They wait for servers that start, not for each other.
describe("a registry with an older state loses no live endpoint", { concurrency: true }, () => {
  for (const kind of kinds.keys()) {
    test(`${kind}: what registered since is kept as a last resort, what it says anew is used`, async () => {
      const registry = opened.get(kind) as Registry;
      const { name } = registry;
      const old = { service: `aged-${name}`, id: "a", port: 7001 };
      const since = { service: old.service, id: "b", port: 7002 };
      const alone = { service: `fresh-${name}`, id: "a", port: echo.port };
      const answers = () => answersBy(web, registry.hostOf(alone));
      await registry.register(old);
      await portsBecome(cp, old.service, "7001");
      using older = await copyState(registry.server);
      await stateBecomes(cp, name, "live");
      await registry.register(since);
      await registry.register(alone);
      await portsBecome(cp, old.service, "7001 7002");
      await answers();

      await older.putBack();
      await portsBecome(cp, old.service, "7001 7002?");
      await portsBecome(cp, alone.service, `${alone.port}?`);
      await answers();
      const { state, held } = await sourceOf(cp, name);
      assert.deepEqual([state, held.absent], ["live", 2]);

      await registry.register(since);
      await portsBecome(cp, old.service, "7001 7002");
      await registry.deregister(old);
      await portsBecome(cp, old.service, "7002");
      await answers();
    });
  }
});
