import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import type { HttpConnectionManagerJson } from "@weft/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { downstream, request, tlsInfo } from "../compile/testing/fixtures.ts";
import { cluster, hcm, listener, openPlane, openServer, routes, toCluster } from "../runtime/testing/test-plane.ts";
import type { DownstreamTlsInfo } from "./exchange.ts";
import { editXfcc } from "./xfcc.ts";

/** By which a client would steer the proxy, or pretend to know what only a proxy finds out. */
const steering = [
  "x-envoy-upstream-rq-timeout-ms",
  "x-envoy-upstream-rq-per-try-timeout-ms",
  "x-envoy-upstream-rq-timeout-alt-response",
  "x-envoy-expected-rq-timeout-ms",
  "x-envoy-retry-on",
  "x-envoy-retry-grpc-on",
  "x-envoy-max-retries",
  "x-envoy-retriable-status-codes",
  "x-envoy-retriable-header-names",
  "x-envoy-hedge-on-per-try-timeout",
  "x-envoy-upstream-alt-stat-name",
  "x-envoy-force-trace",
  "x-envoy-ip-tags",
  "x-envoy-original-url",
  "x-envoy-internal",
  "x-forwarded-client-cert",
];
/** Believed of a client only behind a first proxy. */
const ofTheEdge = [
  "x-envoy-decorator-operation",
  "x-envoy-downstream-service-cluster",
  "x-envoy-downstream-service-node",
  "x-envoy-original-path",
];

/** Lines of the head that an application gets of a request with those fields. */
const passedOn = async (settings: HttpConnectionManagerJson, fields: readonly string[]): Promise<readonly string[]> => {
  let head = "";
  await using app = await openServer((socket) => {
    socket.on("data", (bytes) => {
      head += bytes.toString("latin1");
      if (head.endsWith("\r\n\r\n")) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
  });
  await using plane = openPlane();
  await plane.put(cluster("c", [app.port]), routes([toCluster("c")]), listener("l", [hcm(settings)]));
  const socket = connect(plane.portOf("l"), "127.0.0.1");
  const ended = new Promise((resolve) => socket.once("close", resolve));
  socket.resume();
  socket.write(`GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${fields.map((each) => `${each}\r\n`).join("")}\r\n`);
  await ended;
  return head
    .split("\r\n")
    .slice(1)
    .filter((line) => line !== "");
};

const asGateway: HttpConnectionManagerJson = { useRemoteAddress: true, forwardClientCertDetails: "SANITIZE_SET" };
const asSidecar: HttpConnectionManagerJson = { useRemoteAddress: false, forwardClientCertDetails: "APPEND_FORWARD" };
const trusting: HttpConnectionManagerJson = {
  ...asGateway,
  internalAddressConfig: { cidrRanges: [{ addressPrefix: "127.0.0.0", prefixLen: 8 }] },
};

for (const [name, settings] of [
  ["a gateway", asGateway],
  ["a sidecar", asSidecar],
] as const) {
  test(`no header that steers passes ${name}, however it is written`, async () => {
    for (const write of [(each: string) => each, (each: string) => each.toUpperCase()]) {
      const lines = await passedOn(
        settings,
        steering.map((each) => `${write(each)}: 5`),
      );
      const left = steering.filter((each) => lines.some((line) => line.startsWith(`${each}:`) && line.endsWith(": 5")));
      assert.deepEqual(left, []);
    }
  });
}

test("one that claims to be from inside gains nothing by it", async () => {
  for (const settings of [asGateway, asSidecar]) {
    const lines = await passedOn(settings, [
      "x-envoy-internal: true",
      "x-forwarded-for: 10.0.0.1",
      "x-envoy-max-retries: 9",
    ]);
    assert.equal(
      lines.some((line) => /^x-envoy-(internal|max-retries)/.test(line)),
      false,
    );
  }
});

test("a gateway believes nothing of what only proxies in front of it could know", async () => {
  const told = [...ofTheEdge, "x-envoy-external-address", "x-forwarded-proto", "x-request-id"].map(
    (each) => `${each}: evil`,
  );
  for (const forwardedFor of [[], ["x-forwarded-for: 6.6.6.6"], ["x-forwarded-for: evil"]]) {
    const lines = await passedOn(asGateway, [...told, ...forwardedFor]);
    const evil = lines.filter((line) => line.includes("evil") && !line.startsWith("x-forwarded-for"));
    assert.deepEqual(evil, []);
    assert.ok(lines.includes("x-envoy-external-address: 127.0.0.1"), lines.join("|"));
    assert.ok(lines.includes("x-forwarded-proto: http"));
  }
});

test("an address configured as inside may steer, as long as nothing stands before it", async () => {
  const steered = "x-envoy-original-url: 5";
  assert.ok((await passedOn(trusting, [steered])).includes(steered));
  assert.equal((await passedOn(trusting, [steered, "x-forwarded-for: 127.0.0.1"])).includes(steered), false);
});

test("what is no address in x-forwarded-for is nobody's", async () => {
  const inside = {
    cidrRanges: [
      { addressPrefix: "127.0.0.0", prefixLen: 8 },
      { addressPrefix: "10.0.0.0", prefixLen: 8 },
    ],
  };
  const settings: HttpConnectionManagerJson = { ...asSidecar, internalAddressConfig: inside };
  const odd = [
    "evil",
    "",
    "127.1",
    "010.0.0.1",
    "0x7f.1",
    "10.0.0.1.",
    "fe80::1%eth0",
    "10.0.0.1:80",
    "[::1]",
    "10.0.0.1\t\x80",
  ];
  for (const hop of odd) {
    const lines = await passedOn(settings, [`x-forwarded-for: ${hop}`, "x-envoy-internal: true"]);
    assert.equal(
      lines.some((line) => line.startsWith("x-envoy-internal")),
      false,
      hop,
    );
    const counted = await passedOn({ ...asGateway, xffNumTrustedHops: 1 }, [`x-forwarded-for: 9.9.9.9,${hop}`]);
    assert.ok(counted.includes("x-envoy-external-address: 127.0.0.1"), `${hop}: ${counted.join("|")}`);
  }
  assert.ok((await passedOn(settings, ["x-forwarded-for: ::ffff:10.0.0.1"])).includes("x-envoy-internal: true"));
});

const settings = { mode: "sanitizeSet", cert: false, subject: true, uri: true, dns: true } as const;
const xfccOf = (tls: Partial<DownstreamTlsInfo>): string => {
  const { headers } = request("/", { "x-forwarded-client-cert": "URI=spiffe://forged" });
  editXfcc(settings, headers, downstream({ tls: tlsInfo({ peerFingerprint: "ab", ...tls }) }));
  return headers.get("x-forwarded-client-cert") ?? "";
};
/** Reads elements as their readers do: quotation marks hold, a backslash takes the next character. */
const pairsOf = (text: string): readonly string[] =>
  [...text.matchAll(/(?:^|[;,])(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^;,]*))/g)].map(([, key]) => key ?? "");

test("no name in a client's certificate adds an element or a pair to what is told of it", () => {
  const names = ['a";URI=spiffe://evil', 'a\\";URI=spiffe://evil', "a;URI=x", "a,By=x", "\\", '"', 'a="b\\\\";URI=x'];
  for (const name of names) {
    const escaped = name.replace(/[\\",;]/g, "\\$&");
    const text = xfccOf({ peerUris: [`spiffe://${name}`], peerDnsNames: [name], peerSubject: `CN=${escaped}` });
    assert.deepEqual(pairsOf(text), ["Hash", "Subject", "URI", "DNS"], text);
  }
  assert.equal(xfccOf({ peerFingerprint: "" }), "");
});
