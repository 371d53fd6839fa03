/** Registries behind a network that swallows packets: what was known stays and is called, and what changed comes when it mends. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { type EchoServer, startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { startSidecar, type TestSidecar } from "@weft/testkit/sidecar";
import { openPlaceApart, type PlaceApart } from "../registries/place.ts";
import { portsBecome, portsOf, sourceOf, stateBecomes } from "../registries/sources.ts";
import {
  answersBy,
  openAll,
  openConsul,
  openEtcd,
  openKubernetes,
  openNacos,
  openZookeeper,
  type Registry,
} from "./registries.ts";

/** What becomes of an instance that went meanwhile: those who keep a history tell so, of others it only seems so. */
const kinds = new Map([
  ["etcd", { open: openEtcd, gone: "" }],
  ["ZooKeeper", { open: openZookeeper, gone: "7002?" }],
  ["Consul", { open: openConsul, gone: "7002?" }],
  ["Nacos", { open: openNacos, gone: "7002?" }],
  ["Kubernetes", { open: openKubernetes, gone: "" }],
]);

const stack = new AsyncDisposableStack();
const opened = new Map<string, { readonly registry: Registry; readonly place: PlaceApart }>();
let cp: TestControlPlane;
let web: TestSidecar;
let echo: EchoServer;
before(async () => {
  const open = async (kind: string, openAt: (place: PlaceApart) => Promise<Registry>): Promise<void> => {
    const place = stack.use(openPlaceApart());
    opened.set(kind, { place, registry: stack.use(await openAt(place)) });
  };
  await openAll([...kinds].map(([kind, { open: openAt }]) => open(kind, openAt)));
  echo = stack.use(await startEchoServer("live", 0, "0.0.0.0"));
  const urls = [...opened.values()].map(({ registry }) => registry.url);
  cp = stack.use(await startControlPlane({ args: urls.flatMap((url) => ["--registry", url]) }));
  web = stack.use(await startSidecar(cp, { name: "web" }));
});
after(() => stack.disposeAsync());

const sorted = (...ports: readonly (string | number)[]): string =>
  ports
    .map(String)
    .filter((port) => port !== "")
    .sort()
    .join(" ");

// They wait for networks, not for each other.
describe("a partition loses no endpoint", { concurrency: true }, () => {
  for (const [kind, { gone }] of kinds) {
    test(`${kind}: the view freezes and ages, calls go on, and what changed meanwhile comes afterwards`, async () => {
      const { registry, place } = opened.get(kind) as NonNullable<ReturnType<typeof opened.get>>;
      const { name } = registry;
      const live = { service: `parted-${name}`, id: "a", port: echo.port };
      const goes = { service: `apart-${name}`, id: "b", port: 7002 };
      const comes = { service: goes.service, id: "c", port: 7003 };
      const answers = () => answersBy(web, registry.hostOf(live));
      await registry.register(live);
      await registry.register(goes);
      await registry.register({ ...goes, id: "a", port: 7001 });
      await portsBecome(cp, goes.service, "7001 7002");
      await answers();

      place.cut();
      await registry.deregister(goes);
      await registry.register(comes);
      await stateBecomes(cp, name, "lost");
      await eventually("it ages", async () => (await sourceOf(cp, name)).ageSeconds > 0 || undefined);
      assert.equal(await portsOf(cp, goes.service), "7001 7002");
      await answers();

      place.mend();
      assert.equal((await stateBecomes(cp, name, "live")).ageSeconds, 0);
      await portsBecome(cp, goes.service, sorted(7001, gone, 7003));
      assert.equal(await portsOf(cp, live.service), `${echo.port}`);
      await answers();
    });
  }
});
