import assert from "node:assert/strict";
import { test } from "node:test";
import { formatError } from "@weft/core/error";
import { demandedNamesMax } from "../on-demand/limits.ts";
import { inboundOf, labelsOf, metadataOf, parseSidecarFlags } from "./sidecar-flags.ts";

const mesh = ["--cp", "127.0.0.1:15012", "--root-cert", "/r.pem", "--name", "web"];
const refusal = (...argv: string[]): string => {
  try {
    return JSON.stringify(parseSidecarFlags(argv));
  } catch (error) {
    return formatError(error);
  }
};

test("a bootstrap file is enough", () => {
  const flags = parseSidecarFlags(["--bootstrap", "e.yaml", "--concurrency", "2", "--log-level", "warning"]);
  assert.ok(!("exitCode" in flags) && flags.mode === "bootstrap");
  assert.deepEqual([flags.file, flags.concurrency, flags.logLevel, flags.drainTimeMs], ["e.yaml", 2, "warn", 5_000]);
});

test("how many handshakes a worker begins is left to the metadata unless a flag says it", () => {
  const said = (...argv: string[]) => {
    const flags = parseSidecarFlags([...mesh, ...argv]);
    assert.ok(!("exitCode" in flags));
    return flags.handshakesPerSecond;
  };
  assert.equal(said(), undefined);
  assert.equal(said("--handshakes-per-second", "250"), 250);
});

test("in the mesh a name is enough, the rest has defaults", () => {
  const flags = parseSidecarFlags([
    ...mesh,
    "--inbound",
    "http:http:127.0.0.1:20001:3000",
    "--labels",
    "app=web,version=v2",
  ]);
  assert.ok(!("exitCode" in flags) && flags.mode === "mesh");
  assert.deepEqual([flags.namespace, flags.serviceAccount], ["default", "web"]);
  assert.deepEqual(flags.outbound, { host: "127.0.0.1", port: 15001 });
  assert.deepEqual(
    [...flags.labels],
    [
      ["app", "web"],
      ["version", "v2"],
    ],
  );
  assert.equal(flags.inbound[0]?.appPort, 3000);
});

test("several control planes are taken, parted by commas", () => {
  const flags = parseSidecarFlags(["--cp", "127.0.0.1:1, [::1]:2,cp.example:3", ...mesh.slice(2)]);
  assert.ok(!("exitCode" in flags) && flags.mode === "mesh");
  assert.deepEqual(
    [flags.controlPlane, ...flags.otherControlPlanes].map(({ host, port }) => `${host} ${port}`),
    ["127.0.0.1 1", "::1 2", "cp.example 3"],
  );
});

test("a gateway has no way out unless it is given one", () => {
  const flags = parseSidecarFlags([...mesh, "--gateway"]);
  assert.ok(!("exitCode" in flags) && flags.mode === "mesh");
  assert.equal(flags.outbound, undefined);
});

const refused: readonly (readonly [title: string, argv: readonly string[], expected: RegExp])[] = [
  ["nothing", [], /WF9020 --bootstrap FILE or --cp ADDRESS/],
  ["both", ["--bootstrap", "x", ...mesh], /exclude each other/],
  ["an empty one among several", ["--cp", "127.0.0.1:1,", ...mesh.slice(2)], /--cp "" is not HOST:PORT/],
  ["no name", mesh.slice(0, 4), /--name is needed/],
  ["no root certificate", ["--cp", "127.0.0.1:1", "--name", "x"], /--root-cert is needed/],
  [
    "an address without a port",
    ["--cp", "localhost", "--root-cert", "x", "--name", "x"],
    /--cp "localhost" is not HOST:PORT/,
  ],
  ["a strange level", ["--bootstrap", "x", "--log-level", "loud"], /--log-level "loud"/],
  ["a strange number", ["--bootstrap", "x", "--drain-time", "soon"], /--drain-time "soon"/],
  [
    "no handshakes",
    ["--bootstrap", "x", "--handshakes-per-second", "0"],
    /--handshakes-per-second "0" is not a number from 1/,
  ],
  ["a strange inbound", [...mesh, "--inbound", "http:8080"], /--inbound "http:8080"/],
  ["a takeover from nowhere", ["--bootstrap", "x", "--takeover"], /--takeover needs --data or --takeover-socket/],
  ["a strange mode", [...mesh, "--interception", "MAGIC"], /--interception "MAGIC"/],
];
for (const [title, argv, expected] of refused) {
  test(`${title} on the command line is refused`, () => assert.match(refusal(...argv), expected));
}

test("the discovery cache has bounds that may be given", () => {
  const cacheOf = (...argv: string[]) => {
    const flags = parseSidecarFlags([...mesh, ...argv]);
    return "exitCode" in flags ? assert.fail() : [flags.cacheTtlMs, flags.cacheEntries, flags.cacheDiskBytes];
  };
  assert.deepEqual(cacheOf(), [300_000, demandedNamesMax, 256 * 1024 * 1024]);
  const given = ["--discovery-cache-ttl", "2.5", "--discovery-cache-entries", "7", "--discovery-cache-disk", "1MiB"];
  assert.deepEqual(cacheOf(...given), [2_500, 7, 1024 * 1024]);
  assert.match(refusal(...mesh, "--discovery-cache-disk", "1k"), /WF9020.*--discovery-cache-disk is less than 65536/);
  assert.match(refusal(...mesh, "--discovery-cache-disk", "much"), /WF9020.*is not a size/);
  assert.match(refusal(...mesh, "--discovery-cache-ttl", "0"), /WF9020.*--discovery-cache-ttl/);
  assert.match(refusal(...mesh, "--discovery-cache-entries", "none"), /WF9020.*--discovery-cache-entries/);
});

test("sockets are handed over in the data folder unless another place is given", () => {
  const socketOf = (...argv: string[]) => {
    const flags = parseSidecarFlags(["--bootstrap", "x", ...argv]);
    return "exitCode" in flags ? assert.fail() : [flags.takeover, flags.takeoverSocket];
  };
  assert.deepEqual(socketOf(), [false, undefined]);
  assert.deepEqual(socketOf("--data", "/d", "--takeover"), [true, "/d/takeover.sock"]);
  assert.deepEqual(socketOf("--data", "/d", "--takeover-socket", "/s/a"), [false, "/s/a"]);
});

test("inbound ports may be on IPv6, and ports have a range", () => {
  assert.equal(inboundOf("a:tcp:[::1]:1:2").address, "::1");
  assert.throws(() => inboundOf("a:tcp:127.0.0.1:70000:2"));
  assert.throws(() => labelsOf("=x"));
  assert.deepEqual([...labelsOf("a=b=c,")], [["a", "b=c"]]);
});

test("DNS is answered where asked for, on loopback only", () => {
  const dnsOf = (...argv: string[]) => {
    const flags = parseSidecarFlags([...mesh, ...argv]);
    assert.ok(!("exitCode" in flags) && flags.mode === "mesh");
    return flags.dns;
  };
  assert.equal(dnsOf(), undefined);
  assert.deepEqual(dnsOf("--dns"), { host: "127.0.0.1", port: 15_053 });
  assert.deepEqual(dnsOf("--dns", "localhost:53"), { host: "127.0.0.1", port: 53 });
  assert.deepEqual(dnsOf("--dns", "[::1]:5353"), { host: "::1", port: 5353 });
  for (const address of ["0.0.0.0:53", "10.0.0.1:53", "[::]:53", "dns.example:53"])
    assert.match(refusal(...mesh, "--dns", address), /WF3112/);
  assert.match(refusal(...mesh, "--dns", "53"), /WF9020/);
});

test("metadata of the environment is that of Istio's injection, bounded, and never the name", () => {
  const many = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`ISTIO_META_X${index}`, "x"]));
  assert.equal(metadataOf(many).size, 64);
  const env = {
    ISTIO_META_OWNER: "o",
    ISTIO_META_NAME: "n",
    ISTIO_META_LONG: "x".repeat(1025),
    OTHER: "no",
    GONE: undefined,
  };
  assert.deepEqual([...metadataOf(env)], [["OWNER", "o"]]);
});

test("a workload may name its WorkloadGroup, a gateway has none", () => {
  const groupOf = (...argv: string[]) => {
    const flags = parseSidecarFlags([...mesh, ...argv]);
    return "mode" in flags && flags.mode === "mesh" ? flags.group : assert.fail();
  };
  assert.equal(groupOf(), undefined);
  const given = ["--group", "machines", "--api", "10.0.0.1:8080", "--api-token-file", "/t"];
  assert.deepEqual(groupOf(...given), { name: "machines", api: "10.0.0.1:8080", tokenFile: "/t" });
  assert.match(refusal(...mesh, "--gateway", "--group", "machines"), /WF9020.*--group/);
});
