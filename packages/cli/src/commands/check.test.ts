import assert from "node:assert/strict";
import { test } from "node:test";
import { run, startApi } from "../testing/command-line.ts";

const hourMs = 3_600_000;
const proxy = (more: object = {}) => ({
  id: "sidecar~127.0.0.1~web.a~d",
  metadata: { WEFT_INBOUND: [{ address: "127.0.0.1", port: 9000 }] },
  types: { CDS: { status: "SYNCED" } },
  ...more,
});
const endpoint = (more: object = {}) => ({
  address: "127.0.0.1",
  port: 9000,
  workload: "web",
  namespace: "a",
  health: "healthy",
  meshTls: true,
  ...more,
});

interface Mesh {
  readonly proxies?: readonly object[];
  readonly endpoints?: readonly object[];
  readonly findings?: readonly string[];
}
const finding = (level: string) => ({
  ...{ level, code: "WF1101", message: "no such host", kind: "VirtualService", name: "web", file: "a.yaml", line: 3 },
});
const check = async ({ proxies = [proxy()], endpoints = [endpoint()], findings = [] }: Mesh, ...flags: string[]) => {
  await using api = await startApi({
    "/v1/version": { version: "1" },
    "/v1/proxies": { items: proxies },
    "/v1/analyze": { items: findings.map(finding) },
    "/debug/endpointz": [{ service: "a/web.a.svc.cluster.local", endpoints }],
  });
  return await run(["check", "--cp", api.address, ...flags]);
};

/** An admin interface whose certificate was given so long ago for so long. */
const admin = (agoMs: number, lifeMs: number) => {
  const from = Date.now() - agoMs;
  const time = (ms: number): string => new Date(ms).toISOString();
  const chain = [{ valid_from: time(from), expiration_time: time(from + lifeMs) }];
  return startApi({ "/certs": { certificates: [{ cert_chain: chain }] } });
};
const withAdmin = (address: string) => ({ proxies: [proxy({ metadata: { WEFT_ADMIN: address } })] });

test("a mesh that is well has no problems", async () => {
  const { code, out } = await check({});
  assert.equal(code, 0);
  assert.match(out, /✔ +registry +endpoints +services: 1, endpoints: 1, healthy: 1\n/);
  assert.match(out, /\nno problems\n$/);
});

test("a proxy that refused something is a problem, exit 3", async () => {
  const { code, out } = await check({
    proxies: [proxy({ types: { CDS: { status: "NACK", error: "cluster a: no" } } })],
  });
  assert.equal(code, 3);
  assert.match(out, /× +data-plane +web\.a +CDS NACK: cluster a: no\n1 problem\n$/);
});

test("an endpoint whose sidecar is not connected is a problem", async () => {
  const { code, out } = await check({ endpoints: [endpoint(), endpoint({ port: 9001 })] });
  assert.equal(code, 3);
  assert.match(out, /× +registry +web\.a +127\.0\.0\.1:9001 is registered, but its sidecar is not connected\n/);
});

test("an endpoint without a sidecar by nature, and one of a proxy that names no ports, are none", async () => {
  const others = [endpoint({ port: 9001, meshTls: false })];
  assert.equal((await check({ endpoints: others })).code, 0);
  assert.equal((await check({ proxies: [proxy({ metadata: {} })], endpoints: [endpoint({ port: 9002 })] })).code, 0);
});

test("unhealthy endpoints and findings of configuration are told", async () => {
  const unwell = await check({ endpoints: [endpoint({ health: "unhealthy" })], findings: ["warning", "info"] });
  assert.equal(unwell.code, 0);
  assert.match(unwell.out, /‼ +registry +endpoints +services: 1, endpoints: 1, healthy: 0\n/);
  assert.match(unwell.out, /\nno problems, 2 warnings\n$/);
  const broken = await check({ findings: ["error"] });
  assert.equal(broken.code, 3);
  assert.match(broken.out, /× +configuration +VirtualService\/web +WF1101 a\.yaml:3 no such host\n/);
  const many = await check({ findings: Array.from({ length: 25 }, () => "warning") });
  assert.match(many.out, /‼ +configuration +objects +and 5 more, at GET \/v1\/analyze\n/);
});

test("a certificate is judged by what is left of its life", async () => {
  const cases = [
    [1 * hourMs, 24 * hourMs, 0, /✔ +identity +web\.a +certificate good for 23\.0 h\n/],
    [17 * hourMs, 24 * hourMs, 0, /‼ +identity +web\.a +certificate good for 7\.0 h only: it should have been renewed/],
    [59 * 60_000, 62 * 60_000, 0, /‼ .* certificate good for 3 min only/],
    [2 * hourMs, hourMs, 3, /× +identity +web\.a +WF7002 the certificate has expired\n/],
  ] as const;
  for (const [ago, life, code, says] of cases) {
    await using sidecar = await admin(ago, life);
    const result = await check(withAdmin(sidecar.address));
    assert.match(result.out, says);
    assert.equal(result.code, code);
  }
});

test("a sidecar without a certificate and one that does not answer are warnings, counted in the summary", async () => {
  await using bare = await startApi({ "/certs": { certificates: [] } });
  assert.match((await check(withAdmin(bare.address))).out, /‼ +identity +web\.a +it has no certificate\n/);
  const silent = await check(withAdmin("127.0.0.1:1"), "-o", "json");
  const { summary } = JSON.parse(silent.out) as { summary: object };
  assert.deepEqual([silent.code, summary], [0, { total: 5, problems: 0, warnings: 1 }]);
});
