import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { silentLogger } from "@weft/core/world";
import { type ReadHost, readHosts } from "@weft/protocols/nacos/answers";
import fc from "fast-check";
import type { SourceEvent } from "../outside/source-events.ts";
import { countMs, resyncMs } from "./nacos-follow.ts";
import { createNacosServices } from "./nacos-services.ts";
import { type NacosSourceOptions, openNacosSource, retryGrpcMs } from "./nacos-source.ts";
import { createFakeNacos, type FakeNacos } from "./testing/fake-nacos.ts";

const make = (prepare: (nacos: FakeNacos) => void = () => {}, options: Partial<NacosSourceOptions> = {}) => {
  const nacos = createFakeNacos();
  prepare(nacos);
  const events: SourceEvent[] = [];
  const timers = new Set<{ readonly callback: () => void; readonly delayMs: number }>();
  let nowMs = 0;
  const source = openNacosSource({
    ...{ namespace: "public", toNamespace: "default", groups: ["DEFAULT_GROUP"], contextPath: "/nacos" },
    ...{ transport: "auto", credentials: undefined, dial: nacos.dial, ...options },
  })({
    emit: (event) => events.push(event),
    clock: { nowMs: () => nowMs, wallMs: () => nowMs },
    setTimer: (callback, delayMs) => {
      const timer = { callback, delayMs };
      timers.add(timer);
      return { [Symbol.dispose]: () => void timers.delete(timer) };
    },
    random: () => 0,
    log: silentLogger,
  });
  const settle = async (): Promise<void> => {
    for (let at = 0; at < 40; at++) await turn();
  };
  /** Runs every timer that is armed, after so long, and lets what follows from it happen. */
  const fire = async (afterMs = 0): Promise<void> => {
    nowMs += afterMs;
    for (const timer of [...timers]) {
      if (timers.delete(timer)) timer.callback();
    }
    await settle();
  };
  const words = (): readonly string[] => {
    const told = events.map((event) => {
      if (event.kind === "listed") return `listed ${event.instances.map(({ key }) => tail(key)).join(" ")}`.trim();
      if (event.kind === "put") return `put ${tail(event.instance.key)}`;
      if (event.kind === "removed") return `${event.because} ${tail(event.key)}`;
      if (event.kind === "missing") return `missing ${event.keys.map(tail).join(" ")}`;
      if (event.kind === "unreadable") return `unreadable ${tail(event.key)}: ${event.problem}`;
      if (event.kind === "readable") return `readable ${tail(event.key)}: ${event.keys.map(tail).join(" ")}`;
      return event.kind === "lost" ? `lost: ${event.reason}` : event.kind;
    });
    events.length = 0;
    return told;
  };
  const delays = (): readonly number[] => [...timers].map(({ delayMs }) => delayMs);
  return { nacos, fire, settle, words, source, delays, events };
};
/** `web/10.0.0.1:80` of a key. */
const tail = (key: string): string => key.slice(key.indexOf("@@") + 2).replace("@DEFAULT", "");
const host = (last: number, more: Readonly<Record<string, unknown>> = {}) => ({
  ip: `10.0.0.${last}`,
  port: 80,
  ...more,
});
const web = "DEFAULT_GROUP@@web";
const orders = "DEFAULT_GROUP@@orders";

test("what is there is listed, and what is pushed is told and answered", async () => {
  const { nacos, fire, words } = make((fresh) => fresh.set(web, [host(1), host(2)]));
  await fire();
  assert.deepEqual(words(), ["connected", "listed web/10.0.0.1:80 web/10.0.0.2:80"]);
  nacos.set(web, [host(1), host(2, { weight: 3 }), host(3)]);
  assert.deepEqual(words(), ["put web/10.0.0.2:80", "put web/10.0.0.3:80"]);
  nacos.set(web, [host(1), host(2, { weight: 3 }), host(3)]);
  assert.deepEqual(words(), []);
  assert.deepEqual(nacos.answered, ["NotifySubscriberResponse 9", "NotifySubscriberResponse 9"]);
});

test("on a living connection an instance that a push lacks is gone; one that has no time-to-live was deleted", async () => {
  const hosts = [host(1), host(2), host(3, { ephemeral: false })];
  const { nacos, fire, words } = make((fresh) => fresh.set(web, hosts));
  await fire();
  words();
  nacos.set(web, [host(1), host(3, { ephemeral: false })]);
  assert.deepEqual(words(), ["expired web/10.0.0.2:80"]);
  nacos.set(web, [host(1)]);
  assert.deepEqual(words(), ["deleted web/10.0.0.3:80"]);
});

test("a push without any instance is a hint, and so is the first list of a new connection", async () => {
  const { nacos, fire, words } = make((fresh) => fresh.set(web, [host(1), host(2)]));
  await fire();
  words();
  nacos.set(web, []);
  assert.deepEqual(words(), ["missing web/10.0.0.1:80 web/10.0.0.2:80"]);
  nacos.set(web, [host(1), host(2)]);
  assert.deepEqual(words(), ["put web/10.0.0.1:80", "put web/10.0.0.2:80"]);
  nacos.down("cut");
  await fire();
  nacos.setQuietly(web, [host(2)]);
  nacos.up();
  words();
  await fire();
  assert.deepEqual(words(), ["connected", "listed web/10.0.0.2:80"]);
});

test("a push without any instance is believed when the server, asked again, still has none; what had no time-to-live at once", async () => {
  const { nacos, fire, words } = make((fresh) => {
    fresh.set(web, [host(1)]);
    for (const name of ["a", "b", "c"]) fresh.set(`DEFAULT_GROUP@@${name}`, [host(7)]);
    fresh.set(orders, [host(5, { ephemeral: false })]);
  });
  await fire();
  words();
  nacos.set(web, []);
  nacos.set(orders, []);
  assert.deepEqual(words(), ["missing web/10.0.0.1:80", "deleted orders/10.0.0.5:80"]);
  await fire(countMs);
  assert.deepEqual(words(), ["expired web/10.0.0.1:80"]);
  nacos.set(web, [host(1)]);
  nacos.set(web, []);
  nacos.setQuietly(web, [host(1)]);
  words();
  await fire(countMs);
  assert.deepEqual(words(), ["put web/10.0.0.1:80"]);
});

test("services that lose their last instance together, and are most of all, are not believed to", async () => {
  const names = ["a", "b", "c", "d"].map((name) => `DEFAULT_GROUP@@${name}`);
  const { nacos, fire, words } = make((fresh) => {
    for (const name of names) fresh.set(name, [host(7)]);
  });
  await fire();
  words();
  for (const name of names.slice(0, 3)) nacos.set(name, []);
  await fire(countMs);
  assert.deepEqual(words(), ["missing a/10.0.0.7:80", "missing b/10.0.0.7:80", "missing c/10.0.0.7:80"]);
});

test("over HTTP a service without instances may be a server that forgot: it is not asked again", async () => {
  const { nacos, fire, words } = make((fresh) => fresh.set(web, [host(1)]), { transport: "http" });
  await fire();
  nacos.setQuietly(web, []);
  words();
  for (let time = 0; time < 4; time++) await fire(10_000);
  assert.deepEqual(words(), ["missing web/10.0.0.1:80"]);
});

test("a service that is not in the first list of a new connection is told anew when it comes back", async () => {
  const { nacos, fire, words } = make((fresh) => fresh.set(web, [host(1)]));
  await fire();
  nacos.down("cut");
  await fire();
  nacos.forget(web);
  nacos.up();
  words();
  await fire();
  assert.deepEqual(words(), ["connected", "listed"]);
  nacos.setQuietly(web, [host(1)]);
  await fire(countMs);
  assert.deepEqual(words(), ["put web/10.0.0.1:80"]);
});

test("a new service is found by how many there are, and left when it has nothing and is no more", async () => {
  const { nacos, fire, words } = make((fresh) => fresh.set(web, [host(1)]));
  await fire();
  words();
  nacos.calls.length = 0;
  await fire(countMs);
  assert.deepEqual(nacos.calls, ["ServiceListRequest 1"]);
  nacos.set(orders, [host(5)]);
  await fire(countMs);
  assert.deepEqual(words(), ["put orders/10.0.0.5:80"]);
  nacos.set(orders, []);
  nacos.forget(orders);
  nacos.calls.length = 0;
  words();
  await fire(countMs);
  assert.ok(nacos.calls.includes("SubscribeServiceRequest orders"));
  assert.deepEqual(words(), ["expired orders/10.0.0.5:80"]);
  nacos.set(orders, [host(6)]);
  assert.deepEqual(words(), [], "it is not subscribed to any more");
});

test("a push that was lost is made good by the next resync; one that nobody asked for is not taken", async () => {
  const { nacos, fire, words } = make((fresh) => fresh.set(web, [host(1), host(2)]));
  await fire();
  words();
  nacos.setQuietly(web, [host(1), host(3)]);
  await fire(resyncMs);
  assert.deepEqual(words(), ["put web/10.0.0.3:80", "expired web/10.0.0.2:80"]);
  const serviceInfo = { name: "evil", groupName: "DEFAULT_GROUP", hosts: [host(9)] };
  nacos.push("NotifySubscriberRequest", { groupName: "DEFAULT_GROUP", serviceName: "evil", serviceInfo });
  assert.deepEqual(words(), []);
});

test("all names of many pages are read, also where the server says there are more than it shows", async () => {
  const { nacos, fire, words } = make((fresh) => {
    for (let at = 0; at < 1_203; at++) fresh.set(`DEFAULT_GROUP@@s${String(at).padStart(4, "0")}`, [host(1)]);
    fresh.count = 1_000_000;
  });
  for (let at = 0; at < 8; at++) await fire();
  const [, listed = ""] = words();
  assert.equal(listed.split(" ").length - 1, 1_203);
  assert.ok(nacos.calls.filter((call) => call.startsWith("ServiceListRequest")).length < 100);
});

test("a service that Nacos refuses to tell counts as it was, and is asked for again", async () => {
  const { nacos, fire, words } = make((fresh) => {
    fresh.set(web, [host(1)]);
    fresh.set(orders, [host(2)]);
  });
  await fire();
  nacos.down("cut");
  await fire();
  nacos.broken.add(web);
  nacos.setQuietly(web, [host(3)]);
  nacos.up();
  words();
  await fire();
  const refused = "unreadable web: Nacos refuses: no such luck";
  assert.deepEqual(words(), ["connected", refused, "listed web/10.0.0.1:80 orders/10.0.0.2:80"]);
  nacos.broken.clear();
  await fire(resyncMs);
  assert.deepEqual(words(), ["put web/10.0.0.3:80", "missing web/10.0.0.1:80", "readable web: web/10.0.0.3:80"]);
});

test("a service too large to tell is left and reported, and the others are followed", async () => {
  const { nacos, fire, words } = make((fresh) => {
    fresh.set(web, [host(1)]);
    fresh.set(orders, [host(2)]);
    fresh.huge.add(web);
  });
  await fire();
  assert.deepEqual(words(), ["connected", "unreadable web: too large", "listed orders/10.0.0.2:80"]);
  nacos.huge.clear();
  nacos.set(web, [host(1)]);
  assert.deepEqual(words(), [], "it is not subscribed to");
  await fire(resyncMs);
  assert.deepEqual(words(), ["put web/10.0.0.1:80", "readable web: web/10.0.0.1:80"]);
});

test("the stream is answered, a server that asks for another connection gets one, one that sends nonsense too", async () => {
  const { nacos, fire, words } = make((fresh) => fresh.set(web, [host(1)]));
  await fire();
  nacos.push("ClientDetectionRequest", { requestId: "7" });
  nacos.push("SetupAckRequest", { requestId: "8" });
  assert.deepEqual(nacos.answered, ["ClientDetectionResponse 7", "SetupAckResponse 8"]);
  words();
  nacos.push("ConnectResetRequest", { requestId: "9" });
  await fire();
  assert.equal(words()[0], "lost: Nacos asks for another connection");
  await fire();
  assert.deepEqual(words(), ["connected", "listed web/10.0.0.1:80"]);
  nacos.push("NotifySubscriberRequest", "{]");
  await fire();
  assert.equal(words()[0], "lost: a push cannot be read: the answer is not JSON");
});

test("calls wait until the server has registered the connection; one that never does is lost", async () => {
  const { nacos, fire, words } = make((fresh) => {
    fresh.unregisteredFor = 3;
  });
  for (let at = 0; at < 4; at++) await fire();
  assert.deepEqual(words(), ["connected", "listed"]);
  nacos.down("cut");
  await fire();
  nacos.up();
  nacos.unregisteredFor = 1_000;
  words();
  for (let at = 0; at < 12; at++) await fire();
  assert.equal(words()[0], "lost: Nacos refuses: Connection is unregistered.");
});

test("a connection that the server has forgotten is lost", async () => {
  const { nacos, fire, words } = make();
  await fire();
  words();
  nacos.unregisteredFor = 1;
  await fire(countMs);
  assert.deepEqual(words(), ["lost: Nacos refuses: Connection is unregistered."]);
});

test("over HTTP, what a server lacks that may have started anew is only missing; what one goes on to lack is gone", async () => {
  const { nacos, fire, words } = make((fresh) => fresh.set(web, [host(1), host(2), host(3, { ephemeral: false })]), {
    transport: "http",
  });
  await fire();
  await fire(10_000);
  words();
  nacos.setQuietly(web, [host(1)]);
  nacos.newConnections = 1;
  await fire(countMs);
  assert.deepEqual(words(), ["connected", "listed web/10.0.0.1:80"]);
  await fire(10_000);
  nacos.setQuietly(web, [host(1), host(2)]);
  await fire(10_000);
  nacos.setQuietly(web, [host(1)]);
  await fire(10_000);
  assert.deepEqual(words(), ["put web/10.0.0.2:80", "expired web/10.0.0.2:80"]);
  nacos.closes = true;
  nacos.newConnections = 1_000;
  await fire(10_000);
  nacos.setQuietly(web, [host(4)]);
  await fire(10_000);
  await fire(10_000);
  const told = words();
  assert.deepEqual(told.slice(0, 2), ["connected", "listed web/10.0.0.1:80"]);
  assert.deepEqual(
    told.slice(2),
    ["put web/10.0.0.4:80", "expired web/10.0.0.1:80"],
    "a server that says so closes each",
  );
});

for (const version of ["v1", "v2", "v3"] as const) {
  test(`without gRPC, the HTTP interface ${version} is found and asked, and gRPC is used once it is there`, async () => {
    const { nacos, fire, words } = make((fresh) => {
      fresh.grpcDown = true;
      fresh.version = version;
      fresh.set(web, [host(1), host(2)]);
    });
    await fire();
    assert.deepEqual(words(), ["connected", "listed web/10.0.0.1:80 web/10.0.0.2:80"]);
    nacos.set(web, [host(1), host(3)]);
    nacos.set(orders, [host(4)]);
    await fire(10_000);
    assert.deepEqual(words().toSorted(), ["expired web/10.0.0.2:80", "put orders/10.0.0.4:80", "put web/10.0.0.3:80"]);
    nacos.set(web, []);
    await fire(10_000);
    assert.deepEqual(words(), ["missing web/10.0.0.1:80 web/10.0.0.3:80"]);
    nacos.grpcDown = false;
    await fire(retryGrpcMs);
    await fire();
    assert.deepEqual(words(), ["connected", "listed orders/10.0.0.4:80"]);
    nacos.set(orders, [host(4), host(5)]);
    assert.deepEqual(words(), ["put orders/10.0.0.5:80"]);
  });
}

test("a user logs in, again before the token ends; a wrong password is said, and a changed one tried", async () => {
  let password = "wrong";
  const credentials = () => ({ username: "nacos", password });
  const { nacos, fire, words } = make(
    (fresh) => {
      fresh.user = "nacos:right";
      fresh.set(web, [host(1)]);
    },
    { credentials },
  );
  await fire();
  assert.deepEqual(words(), ["lost: Nacos refuses the user: unknown user! (HTTP 403)"]);
  password = "right";
  await fire();
  assert.deepEqual(words(), ["connected", "listed web/10.0.0.1:80"]);
  nacos.calls.length = 0;
  await fire(countMs);
  assert.equal(nacos.calls.filter((call) => call.includes("login")).length, 0);
  await fire(90_000);
  assert.ok(nacos.calls.some((call) => call.includes("login")));
  assert.deepEqual(words(), []);
});

test("without a user, a server that wants one is said to refuse", async () => {
  const { fire, words } = make((fresh) => {
    fresh.user = "nacos:right";
  });
  await fire();
  assert.deepEqual(words(), ["lost: Nacos refuses: unknown user!"]);
});

test("instances that cannot be read, and those told twice, are reported and harm no other", async () => {
  const { nacos, fire, words } = make((fresh) =>
    fresh.set(web, [host(1), "nonsense", { ip: "10.0.0.2" }, host(3, { weight: -1 }), host(1, { weight: 9 })]),
  );
  await fire();
  assert.deepEqual(words(), [
    "connected",
    "unreadable web/#1: the instance is no object",
    "unreadable web/10.0.0.2:?: port is missing or no number",
    "unreadable web/10.0.0.3:80: weight is not a number of 0 or more",
    "unreadable web/10.0.0.1:80#twice: is there twice; the first is used",
    "listed web/10.0.0.1:80",
  ]);
  nacos.set(web, [host(1)]);
  assert.equal(words().filter((word) => word.startsWith("expired")).length, 4);
});

test("an answer about nothing is not one about no instances", async () => {
  const { nacos, fire, words } = make((fresh) => fresh.set(web, [host(1)]));
  await fire();
  words();
  for (const serviceInfo of [null, {}, { hosts: null }, { hosts: "none" }])
    nacos.push("NotifySubscriberRequest", { groupName: "DEFAULT_GROUP", serviceName: "web", serviceInfo });
  assert.deepEqual(words(), []);
});

test("a server that is not there is tried again, ever more seldom, until the source is closed", async () => {
  const { nacos, fire, words, delays, source } = make((fresh) => fresh.down("refused"));
  const waited: number[] = [];
  for (let attempt = 0; attempt < 8; attempt++) {
    await fire();
    waited.push(...delays());
  }
  assert.deepEqual(
    words(),
    Array.from({ length: 8 }, () => "lost: refused; by gRPC: refused"),
  );
  assert.deepEqual(waited, [25, 50, 100, 200, 400, 800, 1000, 1000]);
  source[Symbol.dispose]();
  nacos.up();
  await fire();
  assert.deepEqual(words(), []);
});

test("several groups are read, and two services of one name stay two", async () => {
  const { fire, events } = make(
    (fresh) => {
      fresh.set("A@@web", [host(1)]);
      fresh.set("B@@web", [host(2)]);
      fresh.set("C@@web", [host(3)]);
    },
    { groups: ["A", "B"] },
  );
  await fire();
  const listed = events.find((event) => event.kind === "listed");
  assert.deepEqual(
    listed?.instances.map(({ service, address }) => `${service} ${address}`),
    ["web 10.0.0.1", "B@@web 10.0.0.2"],
  );
});

test("an answer that a push has overtaken is not taken", async () => {
  const { nacos, fire, words } = make((fresh) => fresh.set(web, [host(1)]));
  await fire();
  words();
  nacos.late.set(web, [host(1)]);
  await fire(resyncMs);
  nacos.set(web, [host(1), host(2)]);
  nacos.answerLate();
  await fire(countMs);
  assert.deepEqual(words(), ["put web/10.0.0.2:80"]);
});

test("a refusal of whose connection it is ends it, also in the middle of a list", async () => {
  const { nacos, fire, words } = make(
    (fresh) => {
      for (let at = 0; at < 100; at++) fresh.set(`DEFAULT_GROUP@@s${at}`, [host(1)]);
      fresh.user = "nacos:right";
    },
    { credentials: () => ({ username: "nacos", password: "right" }) },
  );
  await fire();
  words();
  nacos.user = "nacos:other";
  await fire(90_000);
  assert.deepEqual(words(), ["lost: Nacos refuses the user: unknown user! (HTTP 403)"]);
});

test("more services than are read are reported, and the others unharmed", () => {
  const events: SourceEvent[] = [];
  const services = createNacosServices({
    ...{ emit: (event) => events.push(event), namespace: "public", toNamespace: "default", groups: ["G"] },
    limits: { servicesMax: 2, instancesPerServiceMax: 3 },
  });
  const service = (name: string) => ({ group: "G", service: name });
  services.begin();
  const { come, refused } = services.named(["a", "b", "c", "d"].map(service));
  assert.deepEqual([come.length, refused], [2, 2]);
  const good = (last: number): ReadHost => readHosts({ hosts: [host(last)] })?.[0] as ReadHost;
  services.told(service("a"), [1, 2, 3, 4, 5].map(good));
  services.told(service("d"), [good(9)]);
  services.complete(new Set());
  const listed = events.find((event) => event.kind === "listed");
  assert.equal(listed?.instances.length, 3);
  const left = (key: string, what: string, count: number, max: number) => ({
    ...{ kind: "left-out", key, left: { what, count, max } },
  });
  const takeLeft = () => events.splice(0).filter(({ kind }) => kind === "left-out");
  assert.deepEqual(takeLeft(), [left("public/", "services", 2, 2), left("public/G@@a", "instances", 2, 3)]);
  // Whoever is known stays, in whatever order the others come.
  services.told(service("a"), [5, 4, 3, 2, 1].map(good));
  assert.deepEqual(events, []);
  services.told(service("a"), [3, 2, 1].map(good));
  services.named(["a"].map(service));
  assert.deepEqual(takeLeft(), [left("public/G@@a", "instances", 0, 3), left("public/", "services", 0, 2)]);
});

test("whatever a server tells in whatever order, what is in force is what it told last", () => {
  const ids = fc.subarray([1, 2, 3, 4, 5]);
  const step = fc.oneof(
    fc.record({ kind: fc.constant("told" as const), name: fc.constantFrom("a", "b"), ids }),
    fc.record({ kind: fc.constant("again" as const), a: ids, b: ids }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const inForce = new Set<string>();
      const emit = (event: SourceEvent): void => {
        if (event.kind === "put") inForce.add(event.instance.key);
        else if (event.kind === "removed") inForce.delete(event.key);
        else if (event.kind === "missing") for (const key of event.keys) inForce.delete(key);
        else if (event.kind === "listed") {
          inForce.clear();
          for (const { key } of event.instances) inForce.add(key);
        }
      };
      const services = createNacosServices({ emit, namespace: "n", toNamespace: "default", groups: ["G"] });
      const told = (name: string, last: readonly number[]): void =>
        services.told({ group: "G", service: name }, readHosts({ hosts: last.map((id) => host(id)) }) ?? []);
      const truth = new Map<string, readonly number[]>([
        ["a", []],
        ["b", []],
      ]);
      const again = (): void => {
        services.begin();
        services.named([...truth.keys()].map((service) => ({ group: "G", service })));
        for (const [name, last] of truth) told(name, last);
        services.complete(new Set());
      };
      again();
      for (const one of steps) {
        if (one.kind === "told") {
          truth.set(one.name, one.ids);
          told(one.name, one.ids);
        } else {
          truth.set("a", one.a).set("b", one.b);
          again();
        }
        const wanted = [...truth].flatMap(([name, last]) => last.map((id) => `n/G@@${name}/10.0.0.${id}:80@DEFAULT`));
        assert.deepEqual([...inForce].sort(), wanted.sort());
      }
    }),
  );
});
