/** A sidecar that is given only what its workload uses behaves as one that is given everything, and holds less. */
import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { after, before, test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { type EchoServer, startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { registerInstance, startSidecar, type TestSidecar } from "@weft/testkit/sidecar";

const services = 300;
const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());

let echoes: readonly EchoServer[];
let given: TestControlPlane;
let scoped: TestControlPlane;
/** One that is given everything; two that ask, the second with threads. */
let all: TestSidecar;
let asks: TestSidecar;
let threads: TestSidecar;

const entry = (name: string, host: string, port: number, more = "", protocol = "HTTP"): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name} }
spec:
  hosts: ["${host}"]
  ports: [{ number: ${protocol === "TCP" ? 9000 : 80}, name: p, protocol: ${protocol} }]
  resolution: STATIC
  endpoints: [{ address: 127.0.0.1, labels: { version: v1 }, ports: { p: ${port} } }]
${more}`;

const virtualService = (name: string, host: string, http: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name} }
spec: { hosts: ["${host}"], http: [${http}] }
`;

const canary = (weight: number): string =>
  virtualService(
    "canary",
    "canary.example.com",
    `{ route: [{ destination: { host: s20.example.com }, weight: ${100 - weight} },
               { destination: { host: s21.example.com, subset: one }, weight: ${weight} }] }`,
  );

const meshOf = (): string => {
  const port = (at: number): number => echoes[at % echoes.length]?.port ?? 0;
  return [
    ...Array.from({ length: services }, (_, at) => entry(`s${at}`, `s${at}.example.com`, port(at))),
    entry("wild", "*.wild.example.com", port(0)),
    entry("exact", "exact.wild.example.com", port(1)),
    entry("tcp", "tcp.example.com", port(1), "", "TCP"),
    entry("dns", "dns.example.com", port(1)).replace("STATIC", "DNS").replace("127.0.0.1", "localhost"),
    `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: subsets }
spec: { host: s21.example.com, subsets: [{ name: one, labels: { version: v1 } }] }
`,
    canary(0),
    virtualService(
      "bare",
      "bare.example.com",
      `{ match: [{ uri: { prefix: /gone } }], redirect: { uri: /else } },
       { match: [{ uri: { prefix: /fault } }], fault: { abort: { httpStatus: 418, percentage: { value: 100 } } },
         route: [{ destination: { host: s22.example.com } }] },
       { route: [{ destination: { host: s23.example.com } }], mirror: { host: s24.example.com } }`,
    ),
  ].join("---");
};

before(async () => {
  echoes = await Promise.all(["even", "odd"].map(async (name) => stack.use(await startEchoServer(name))));
  const yaml = meshOf();
  [given, scoped] = await Promise.all([
    startControlPlane({ yaml, args: ["--on-demand-above", "off"] }),
    startControlPlane({ yaml, args: ["--on-demand-above", "0"] }),
  ]);
  stack.use(given);
  stack.use(scoped);
  for (const cp of [given, scoped]) {
    const port = echoes[0]?.port ?? 0;
    await registerInstance(cp, { service: "reviews", id: "reviews-1", port, appPort: port, mesh: false });
  }
  [all, asks, threads] = await Promise.all([
    startSidecar(given, { name: "caller" }),
    startSidecar(scoped, { name: "caller" }),
    startSidecar(scoped, { name: "threads", args: ["--concurrency", "2"] }),
  ]);
  stack.use(all);
  stack.use(asks);
  stack.use(threads);
});

const call = async (sidecar: TestSidecar, host: string, path = "/"): Promise<string> => {
  const { status, body } = await callHttp(sidecar.outbound, { host, path });
  const name = /"(even|odd)"/.exec(body)?.[1] ?? body;
  return `${status} ${name}`;
};

/** Through a tunnel to the service. */
const tunnel = (sidecar: TestSidecar, to: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const [host, port] = sidecar.outbound.split(":");
    const sent = httpRequest({ host, port, method: "CONNECT", path: to });
    sent.on("error", reject);
    sent.on("response", ({ statusCode }) => resolve(String(statusCode)));
    sent.on("connect", ({ statusCode }, socket) => {
      if (statusCode !== 200) return resolve(String(statusCode));
      let text = "";
      socket.on("error", reject);
      socket.on("data", (bytes: Buffer) => {
        text += bytes.toString("latin1");
      });
      socket.on("close", () => resolve(`${statusCode} ${/"(even|odd)"/.exec(text)?.[1] ?? text}`));
      socket.write("GET / HTTP/1.1\r\nhost: inner\r\nconnection: close\r\n\r\n");
    });
    sent.end();
  });

const dump = async (sidecar: TestSidecar): Promise<string> =>
  (await fetch(`http://${sidecar.admin}/config_dump`)).text();
const clusters = async (sidecar: TestSidecar): Promise<readonly string[]> => {
  const text = await (await fetch(`http://${sidecar.admin}/clusters`)).text();
  const names = text.split("\n").flatMap((line) => /^(outbound\|[^:]*)::/.exec(line)?.[1] ?? []);
  return [...new Set(names)].sort();
};
const stat = async (sidecar: TestSidecar, name: string): Promise<number> => {
  const text = await (await fetch(`http://${sidecar.admin}/stats?filter=${name}`)).text();
  return Number(/: (\d+)/.exec(text)?.[1] ?? 0);
};

test("requests end alike, whether all was given or is asked for", async () => {
  const hosts = [
    ...["s0.example.com", "s1.example.com", "s1.example.com:80", "S2.EXAMPLE.com", "s3.example.com:81"],
    ...["reviews", "reviews:80", "reviews.default", "reviews.default.svc.cluster.local", "reviews:81"],
    ...["a.wild.example.com", "exact.wild.example.com", "b.wild.example.com:80", "dns.example.com"],
    ...["unknown.example.com", "unknown", "127.0.0.1", "localhost", "s1.example.com.", "-", "canary.example.com"],
    `127.0.0.1:${echoes[0]?.port}`,
  ];
  const compare = async (host: string): Promise<void> => {
    const expected = await call(all, host);
    for (const time of ["first", "second"])
      for (const sidecar of [asks, threads]) assert.equal(await call(sidecar, host), expected, `${host}, ${time} time`);
  };
  await Promise.all(hosts.map(compare));
  for (const path of ["/", "/gone", "/fault"]) {
    const expected = await call(all, "bare.example.com", path);
    for (const sidecar of [asks, threads]) assert.equal(await call(sidecar, "bare.example.com", path), expected, path);
  }
  for (const to of ["tcp.example.com:9000", "s4.example.com:80", "tcp.example.com:1", "nowhere.example.com:443"]) {
    const expected = await tunnel(all, to);
    for (const sidecar of [asks, threads]) assert.equal(await tunnel(sidecar, to), expected, to);
  }
});

test("a sidecar has what was used and nothing else, with a mirror's and a subset's clusters among it", async () => {
  const [few, many] = [await clusters(asks), await clusters(all)];
  assert.ok(many.length > services);
  assert.ok(few.length < 20, few.join(" "));
  for (const host of ["s0", "s22", "s23", "s24"]) assert.ok(few.includes(`outbound|80||${host}.example.com`), host);
  assert.ok(!(await dump(asks)).includes("s77.example.com"));
  const { clients } = (await scoped.api("GET", "/debug/adsz")) as { clients: readonly { connectionId: string }[] };
  const id = clients.find(({ connectionId }) => connectionId.includes("~caller."))?.connectionId ?? "";
  const told = JSON.stringify(await scoped.api("GET", `/debug/config_dump?proxyID=${encodeURIComponent(id)}`));
  assert.ok(told.includes("s24.example.com") && !told.includes("s77.example.com"));
  const { summary } = (await scoped.api("GET", "/v1/proxies")) as { summary: Readonly<Record<string, number>> };
  const { total, stale, nack, error } = summary;
  assert.deepEqual({ total, stale, nack, error }, { total: 2, stale: 0, nack: 0, error: 0 });
});

test("the first of many at once asks, and all of them are answered", async () => {
  const before = await stat(asks, "http.vhds.on_demand_asked");
  const answers = await Promise.all(Array.from({ length: 20 }, () => call(asks, "s40.example.com")));
  assert.deepEqual(new Set(answers), new Set(["200 even"]));
  assert.ok((await stat(asks, "http.vhds.on_demand_asked")) - before <= 20);
  assert.deepEqual(
    (await clusters(asks)).filter((name) => name.includes("s40.")),
    ["outbound|80||s40.example.com"],
  );
});

test("what is learned is kept up to date: weights, endpoints, a host that goes and one that comes", async () => {
  assert.equal(await call(asks, "canary.example.com"), "200 even");
  await scoped.apply(canary(100));
  await eventually(
    "the canary has it all",
    async () => (await call(asks, "canary.example.com")) === "200 odd" || undefined,
  );
  await scoped.apply(entry("s40", "s40.example.com", echoes[1]?.port ?? 0));
  await eventually("s40 has moved", async () => (await call(asks, "s40.example.com")) === "200 odd" || undefined);
  const early = await call(asks, "late.example.com");
  assert.match(early, /^502 WF5013/);
  await scoped.apply(entry("late", "late.example.com", echoes[0]?.port ?? 0));
  await eventually("it is there", async () => (await call(asks, "late.example.com")) === "200 even" || undefined);
  await eventually(
    "with threads too",
    async () => (await call(threads, "late.example.com")) === "200 even" || undefined,
  );
  // A more exact host takes over from a wildcard that was learned for it.
  assert.equal(await call(asks, "a.wild.example.com"), "200 even");
  await scoped.apply(entry("a", "a.wild.example.com", echoes[1]?.port ?? 0));
  await eventually("it took over", async () => (await call(asks, "a.wild.example.com")) === "200 odd" || undefined);
  assert.equal(await call(asks, "b.wild.example.com"), "200 even");
});

test("a client that invents hosts has none of them kept beyond a bound", async () => {
  const invent = async (from: number, to: number): Promise<void> => {
    for (let at = from; at < to; at += 25)
      await Promise.all(Array.from({ length: 25 }, (_, one) => call(asks, `made-up-${at + one}.example.org`)));
  };
  await invent(0, 600);
  const { clients } = (await scoped.api("GET", "/debug/adsz")) as {
    clients: readonly { connectionId: string; watches: Readonly<Record<string, number | "*">> }[];
  };
  const names = clients.flatMap(({ connectionId, watches }) =>
    Object.entries(watches).flatMap(([type, count]) =>
      connectionId.includes("~caller.") && type.endsWith(".VirtualHost") ? [Number(count)] : [],
    ),
  );
  assert.equal(names.length, 1);
  assert.ok((names[0] ?? 0) >= 500 && (names[0] ?? 0) < 560, String(names));
  assert.equal(await call(asks, "s0.example.com"), "200 even");
});

test("without a control plane all that was used goes on, also after a restart, and the rest is refused with the reason", async () => {
  const used = ["s0.example.com", "reviews", "canary.example.com", "exact.wild.example.com"];
  const expected = await Promise.all(used.map((host) => call(asks, host)));
  await scoped.program.kill("SIGKILL");
  assert.deepEqual(await Promise.all(used.map((host) => call(asks, host))), expected);
  const refused = callHttp(asks.outbound, { host: "s99.example.com" });
  assert.deepEqual(await Promise.all(used.map((host) => call(asks, host))), expected);
  const { status, body } = await refused;
  assert.equal(status, 503);
  assert.match(body, /^WF2230 .*Next: /);
  await asks.program[Symbol.asyncDispose]();
  await using again = await startSidecar(scoped, { name: "caller", again: asks });
  assert.deepEqual(await Promise.all(used.map((host) => call(again, host))), expected);
});
