/** Clients and configuration that write into logs, metrics and addresses what must not be there, against a real sidecar. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type EchoServer, startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { type Program, startWeft } from "@weft/testkit/processes";
import { sendRaw } from "@weft/testkit/raw-http";

const type = (name: string): string => `type.googleapis.com/envoy.extensions.${name}`;
const at = (portValue: number) => ({ socketAddress: { address: "127.0.0.1", portValue } });
const fields = [
  "REQ(:METHOD)",
  "REQ(:PATH)",
  "REQ(:AUTHORITY)",
  "REQ(USER-AGENT)",
  "REQ(X-FORWARDED-FOR)",
  "UPSTREAM_CLUSTER_RAW",
];
/** Names that a management server might give. */
const oddNames = [
  "__proto__",
  "constructor",
  'quo"te',
  "line\nend",
  "ansi\x1b[31m",
  "c1\x9b2J",
  "back\\slash",
  "{brace}",
  "ünï",
];

const stack = new AsyncDisposableStack();
const folder = mkdtempSync(join(tmpdir(), "weft-hostile-output-"));
const logs = { text: join(folder, "text.log"), json: join(folder, "json.log") };
let app: EchoServer;
let sidecar: Program;
let admin = "";
const ports = new Map<string, number>();

const log = (path: string, logFormat: object): object => ({
  name: "file",
  typedConfig: { "@type": type("access_loggers.file.v3.FileAccessLog"), path, logFormat },
});
const manager = (statPrefix: string): object => ({
  name: "hcm",
  typedConfig: {
    "@type": type("filters.network.http_connection_manager.v3.HttpConnectionManager"),
    statPrefix,
    accessLog: [
      log(logs.text, { textFormatSource: { inlineString: `${fields.map((each) => `"%${each}%"`).join(" ")}\n` } }),
      log(logs.json, { jsonFormat: Object.fromEntries(fields.map((each) => [each, `%${each}%`])) }),
    ],
    httpFilters: [{ name: "router", typedConfig: { "@type": type("filters.http.router.v3.Router") } }],
    routeConfig: {
      virtualHosts: [
        ...oddNames.map((name, i) => ({
          name,
          domains: [`h${i}.example`],
          routes: [{ name, match: { prefix: "/" }, route: { cluster: name } }],
        })),
        {
          name: "all",
          domains: ["*"],
          requestHeadersToAdd: [{ header: { key: "x-seen", value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%" } }],
          routes: [{ match: { prefix: "/" }, route: { cluster: "app" } }],
        },
      ],
    },
  },
});
const listenerOf = (name: string, more: object = {}): object => ({
  ...{ name, address: at(0), filterChains: [{ filters: [manager(name)] }] },
  ...more,
});

before(async () => {
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  app = stack.use(await startEchoServer());
  const proxied = { name: "p", typedConfig: { "@type": type("filters.listener.proxy_protocol.v3.ProxyProtocol") } };
  const bootstrap = {
    node: { id: "n", cluster: "c", metadata: JSON.parse('{"__proto__":{"a":1},"constructor":"x"}') },
    admin: { address: at(0) },
    staticResources: {
      listeners: [
        listenerOf("plain"),
        listenerOf("proxied", { listenerFilters: [proxied] }),
        listenerOf('odd "\x1b name\n'),
      ],
      clusters: ["app", ...oddNames].map((name) => ({
        ...{ name, type: "STATIC", connectTimeout: "1s" },
        loadAssignment: { clusterName: name, endpoints: [{ lbEndpoints: [{ endpoint: { address: at(app.port) } }] }] },
      })),
    },
  };
  const file = join(folder, "bootstrap.json");
  writeFileSync(file, JSON.stringify(bootstrap));
  sidecar = stack.use(startWeft(["sidecar", "-c", file]));
  const ready = await sidecar.waitFor(/\bready\b.*admin=(\S+).* listeners=(.*)/);
  admin = ready[1] ?? "";
  for (const name of ["plain", "proxied"])
    ports.set(name, Number(new RegExp(`\\b${name}=127\\.0\\.0\\.1:(\\d+)`).exec(ready[2] ?? "")?.[1]));
});
after(() => stack.disposeAsync());

const control = /\p{Cc}/u;
const addressOf = (name: string): string => `127.0.0.1:${ports.get(name)}`;

test("each access log line is one line that is read back, whatever was in the request", async () => {
  const nasty = [
    '"',
    '\\"',
    "\x1b[31m",
    "\x9b2J",
    "\xff\xfe",
    "\x80",
    '","x":"',
    "%REQ(:PATH)%",
    "\\n",
    "\t",
    "'",
    "{}",
    "\x7f",
    "\r",
    "\n",
    "\0",
    "\x0b",
  ];
  for (const each of nasty) {
    for (const request of [
      `GET /${each} HTTP/1.1\r\nhost: a\r\nuser-agent: ${each}\r\nx-forwarded-for: ${each}\r\nconnection: close\r\n\r\n`,
      `GET / HTTP/1.1\r\nhost: a\r\nuser-agent: a${each}b\r\nx-forwarded-for: ${each}\r\nconnection: close\r\n\r\n`,
      `G${each}T / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`,
      `GET / HTTP/1.1\r\nhost: a${each}\r\nconnection: close\r\n\r\n`,
    ])
      await sendRaw(addressOf("plain"), request, { graceMs: 0 });
  }
  for (let i = 0; i < oddNames.length; i++)
    assert.equal((await callHttp(addressOf("plain"), { host: `h${i}.example`, path: "/last" })).status, 200, `${i}`);
  const linesOf = (path: string): readonly string[] => readFileSync(path, "utf8").split("\n").slice(0, -1);
  await eventually("all is written", () => {
    const lines = [linesOf(logs.text), linesOf(logs.json)];
    return lines.every((each) => each.filter((line) => line.includes("/last")).length === oddNames.length)
      ? true
      : undefined;
  });
  for (const line of linesOf(logs.text)) {
    assert.equal(control.test(line), false, JSON.stringify(line));
    assert.match(line, /^"(?:[^"\\]|\\.)*"(?: "(?:[^"\\]|\\.)*"){5}$/);
  }
  const clusters = linesOf(logs.json).map((line) => {
    assert.equal(control.test(line), false, JSON.stringify(line));
    const parsed = JSON.parse(line) as Record<string, string>;
    assert.deepEqual(Object.keys(parsed).sort(), fields.toSorted());
    return parsed.UPSTREAM_CLUSTER_RAW;
  });
  for (const name of oddNames) assert.ok(clusters.includes(name), JSON.stringify(name));
});

const label = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
const sample = new RegExp(`^[a-zA-Z_:][a-zA-Z0-9_:]*(?:\\{${label}(?:,${label})*\\})? [-+0-9.eE]+$`);

test("what the admin prints has a line for each thing, and its metrics parse", async () => {
  const { body } = await callHttp(admin, { path: "/stats/prometheus" });
  const lines = body.split("\n").slice(0, -1);
  assert.ok(lines.length > 100);
  for (const line of lines) if (!line.startsWith("# TYPE ")) assert.match(line, sample);
  for (const path of ["/stats", "/clusters", "/listeners"]) {
    const text = (await callHttp(admin, { path })).body;
    for (const line of text.split("\n")) {
      assert.equal(control.test(line), false, `${path}: ${JSON.stringify(line)}`);
      if (path === "/stats" && line !== "") assert.match(line, /: /);
    }
  }
  for (const path of [
    "/stats?format=json",
    "/config_dump",
    "/clusters?format=json",
    "/server_info",
    "/listeners?format=json",
  ])
    JSON.parse((await callHttp(admin, { path })).body);
  for (const line of sidecar.lines) assert.equal(control.test(line), false, JSON.stringify(line));
});

/** Sends these bytes and reads to the end; what is said of the client's address, or nothing. */
const seenBy = (name: string, bytes: Buffer | string): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(ports.get(name) ?? 0, "127.0.0.1");
    let text = "";
    const timer = setTimeout(() => socket.destroy(), 3000);
    socket.on("data", (part: Buffer) => {
      text += part.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(/"x-seen":"([^"]*)"/.exec(text)?.[1] ?? "");
    });
    socket.write(bytes);
  });

const http = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
const v1 = "PROXY TCP4 6.6.6.6 1.2.3.4 5 80\r\n";
const signature = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
const v2 = (rest: string): Buffer => Buffer.concat([signature, Buffer.from(rest, "hex"), Buffer.from(http)]);

test("a port that reads no PROXY headers believes none", async () => {
  for (const header of [v1 + http, v2("2111000c0606060601020304000500500")])
    assert.equal(await seenBy("plain", header), "");
  assert.equal(await seenBy("plain", http), "127.0.0.1");
});

test("a port that reads PROXY headers lets nothing through that has none, or one that is not right", async () => {
  const before = app.count();
  const wrong: (Buffer | string)[] = [
    ...["PROXY", "PROXY TCP4\r\n", "PROXY TCP4 6.6.6.6 1.2.3.4 5\r\n", "PROXY TCP4 6.6.6.6 1.2.3.4 5 99999\r\n"],
    ...[
      "PROXY TCP4 6.6.6 1.2.3.4 5 80\r\n",
      "PROXY TCP4 06.6.6.6 1.2.3.4 5 80\r\n",
      "PROXY TCP6 6.6.6.6 1.2.3.4 5 80\r\n",
    ],
    ...[
      "PROXY TCP6 fe80::1%eth0 ::1 5 80\r\n",
      "proxy TCP4 6.6.6.6 1.2.3.4 5 80\r\n",
      "PROXY TCP4 6.6.6.6 1.2.3.4 5 80\n",
    ],
    ...[
      "PROXY TCP4 6.6.6.6  1.2.3.4 5 80\r\n",
      `PROXY UNKNOWN ${"x".repeat(200)}\r\n`,
      "PROXY TCP4 6.6.6.6 1.2.3.4 +5 80\r\n",
    ],
  ].map((header) => header + http);
  wrong.push(
    http,
    v2("3111000c060606060102030400050050"),
    v2("2211000c060606060102030400050050"),
    v2("21110004060606060102"),
  );
  wrong.push(v2("2111ffff060606060102030400050050"), v2("21110010060606060102030400050050ff00ff00"));
  for (const header of wrong) assert.equal(await seenBy("proxied", header), "", header.toString("latin1").slice(0, 60));
  assert.equal(app.count(), before);
  assert.equal(await seenBy("proxied", v1 + http), "6.6.6.6");
  assert.equal(await seenBy("proxied", v2("2111000c060606060102030400050050")), "6.6.6.6");
});

test("a bootstrap of a hundred thousand keys that hash alike is refused in a few lines", {
  timeout: 30_000,
}, async () => {
  const file = join(folder, "flood.json");
  const keys = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [String(i * 65_536), i]));
  writeFileSync(file, JSON.stringify({ node: { id: "n", cluster: "c" }, staticResources: keys }));
  await using refused = startWeft(["sidecar", "-c", file]);
  assert.notEqual(await refused.exited, 0);
  assert.ok(refused.lines.length > 0 && refused.lines.length < 200, `${refused.lines.length} lines`);
});
