import assert from "node:assert/strict";
import { test } from "node:test";
import { compareSpecificity, hostMatches, intersectHosts, namesOf, resolveHost, visibleIn } from "./hostname.ts";
import { isHttp, protocolOfPort } from "./protocol.ts";

test("a port's protocol comes from appProtocol, else the prefix of its name, else it is unknown", () => {
  const cases = [
    [{ name: "http" }, "http"],
    [{ name: "http-api" }, "http"],
    [{ name: "HTTP2-x" }, "http2"],
    [{ name: "grpc-web" }, "grpc-web"],
    [{ name: "grpc-web-x" }, "grpc-web"],
    [{ name: "grpc-webby" }, "grpc"],
    [{ name: "httpapi" }, "auto"],
    [{ name: "catalog" }, "auto"],
    [{}, "auto"],
    [{ name: "tcp", appProtocol: "http" }, "http"],
    [{ name: "x", appProtocol: "kubernetes.io/h2c" }, "http2"],
    [{ name: "http", appProtocol: "example.com/own" }, "http"],
    [{ name: "http", transport: "UDP" }, "udp"],
  ] as const;
  for (const [port, protocol] of cases) assert.equal(protocolOfPort(port), protocol, JSON.stringify(port));
  assert.equal(isHttp("https"), false);
});

test("short names are completed in their namespace; names with dots, wildcards and addresses stay", () => {
  assert.equal(resolveHost("reviews", "shop", "cluster.local"), "reviews.shop.svc.cluster.local");
  for (const host of ["reviews.shop", "*.example.com", "*", "::1", "10.0.0.1"]) {
    assert.equal(resolveHost(host, "shop", "cluster.local"), host);
  }
});

test("a wildcard covers names and narrower wildcards below it, not itself without a label", () => {
  assert.ok(hostMatches("*", "a") && hostMatches("*.b.c", "a.b.c") && hostMatches("*.c", "*.b.c"));
  assert.ok(!hostMatches("*.b.c", "b.c") && !hostMatches("*.b.c", ".b.c") && !hostMatches("a.b", "*.b"));
  assert.equal(intersectHosts("*", "a.b"), "a.b");
  assert.equal(intersectHosts("a.b", "*.b"), "a.b");
  assert.equal(intersectHosts("a.b", "*.c"), undefined);
  assert.deepEqual(["*", "*.b.c", "a.b.c", "*.c"].sort(compareSpecificity), ["a.b.c", "*.b.c", "*.c", "*"]);
});

test("an object is visible where its exportTo says, everywhere without one", () => {
  assert.ok(visibleIn(undefined, "a", "b") && visibleIn([], "a", "b") && visibleIn(["*"], "a", "b"));
  assert.ok(visibleIn(["."], "a", "a") && !visibleIn(["."], "a", "b") && visibleIn(["b"], "a", "b"));
  assert.ok(!visibleIn(["c"], "a", "b"));
});

test("a service has its bare name only in its own namespace", () => {
  const host = "reviews.shop.svc.cluster.local";
  const short = ["reviews.shop", "reviews.shop.svc"];
  assert.deepEqual(namesOf(host, { namespace: "shop", domain: "cluster.local" }), [host, "reviews", ...short]);
  assert.deepEqual(namesOf(host, { namespace: "other", domain: "cluster.local" }), [host, ...short]);
  assert.deepEqual(namesOf("api.example.com", { namespace: "shop", domain: "cluster.local" }), ["api.example.com"]);
});
