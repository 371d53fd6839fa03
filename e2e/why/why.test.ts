/** `weft why` in a small mesh: the path of requests that are forwarded, redirected, broken, missing and denied. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { type ProgramResult, runWeft } from "@weft/testkit/processes";
import { startSidecar, type TestSidecar } from "@weft/testkit/sidecar";

/** Its lines are counted on below. */
const yaml = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
    - name: canary
      match:
        - uri: {prefix: /api}
          headers: {x-user: {exact: alice}}
      route: [{destination: {host: reviews, subset: v2}}]
    - name: moved
      match: [{uri: {exact: /old}}]
      redirect: {uri: /new, authority: there.example, redirectCode: 308}
    - name: broken
      match: [{uri: {prefix: /broken}}]
      fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
      route: [{destination: {host: reviews, subset: v1}}]
    - name: gone
      match: [{uri: {prefix: /gone}}]
      route: [{destination: {host: reviews, subset: v9}}]
    - name: split
      match: [{uri: {prefix: /split}}]
      route:
        - {destination: {host: reviews, subset: v1}, weight: 75}
        - {destination: {host: reviews, subset: v2}, weight: 25}
    - name: rest
      route: [{destination: {host: reviews, subset: v1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 7}}
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}}
    - {name: v3, labels: {version: v3}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: reviews-deny}
spec:
  selector: {matchLabels: {app: reviews}}
  action: DENY
  rules:
    - to: [{operation: {methods: [DELETE]}}]
    - to: [{operation: {paths: [/secret*]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: reviews-allow}
spec:
  selector: {matchLabels: {app: reviews}}
  rules:
    - from: [{source: {principals: [cluster.local/ns/default/sa/web]}}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
`;

const stack = new AsyncDisposableStack();
let cp: TestControlPlane;
let web: TestSidecar;
let other: TestSidecar;
let v1: TestSidecar;
let v2: TestSidecar;
let state: string;

before(async () => {
  state = mkdtempSync(join(tmpdir(), "weft-why-"));
  stack.defer(() => rmSync(state, { recursive: true, force: true }));
  cp = stack.use(await startControlPlane({ yaml }));
  const echo = stack.use(await startEchoServer("reviews"));
  const reviews = { service: "reviews", appPort: echo.port };
  v1 = stack.use(await startSidecar(cp, { ...reviews, name: "reviews-v1", labels: { version: "v1" } }));
  v2 = stack.use(await startSidecar(cp, { ...reviews, name: "reviews-v2", labels: { version: "v2" } }));
  web = stack.use(await startSidecar(cp, { name: "web" }));
  other = stack.use(await startSidecar(cp, { name: "other" }));
  await eventually("reviews answers", async () =>
    (await callHttp(web.outbound, { host: "reviews" })).status === 200 ? true : undefined,
  );
});
after(() => stack.disposeAsync());

const weft = (...args: string[]): Promise<ProgramResult> =>
  runWeft(args, { env: { WEFT_STATE_DIR: state, WEFT_CP: cp.http, WEFT_TOKEN_FILE: cp.adminTokenFile } });

interface Found {
  readonly side: string;
  readonly step: string;
  readonly found: string;
  readonly notes: readonly string[];
  readonly objects: readonly {
    readonly kind: string;
    readonly name: string;
    readonly field: string;
    readonly file?: string;
    readonly line?: number;
    readonly column?: number;
  }[];
}

interface Path {
  readonly apiVersion: string;
  readonly kind: string;
  readonly items: readonly Found[];
  readonly summary: {
    readonly total: number;
    readonly outcome: {
      readonly kind: string;
      readonly status: number;
      readonly flags: string;
      readonly code?: string;
      readonly location?: string;
      readonly text: string;
    };
  };
}

const why = async (...args: string[]): Promise<Path> => {
  const { code, stdout, stderr } = await weft("why", ...args, "-o", "json");
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Path;
};
const stepOf = ({ items }: Path, name: string, side = "client"): Found => {
  const found = items.find((item) => item.step === name && item.side === side);
  assert.ok(found, `no step ${side} ${name} in ${JSON.stringify(items, null, 1)}`);
  return found;
};
/** The line of the first field with that text. */
const lineOf = (text: string): string => {
  const index = yaml.split("\n").findIndex((line) => line.includes(text));
  assert.ok(index >= 0, text);
  return `test.yaml:${index + 1}`;
};
const places = ({ objects }: Found): readonly string[] =>
  objects.map(({ kind, name, field, file, line }) => `${kind} ${name} ${field} ${file?.split("/").at(-1)}:${line}`);

test("a request that is forwarded is followed into the application, with every object's line", async () => {
  const path = await why("web", "reviews", "GET", "/api/1", "-H", "x-user: bob");
  assert.equal(path.kind, "WhyList");
  assert.equal(path.apiVersion, "weft.dev/v1");
  assert.equal(path.summary.total, path.items.length);
  const route = stepOf(path, "route");
  assert.match(route.found, /^"rest", route \d+ of \d+/);
  assert.equal(route.notes[1], 'not "canary" (reviews spec.http[0].match[0]): header x-user = "alice" does not hold');
  assert.deepEqual(places(route), [
    `VirtualService reviews spec.http[5] ${lineOf("name: rest")}`,
    `VirtualService reviews spec.http[0].match[0] ${lineOf("uri: {prefix: /api}")}`,
  ]);
  const cluster = stepOf(path, "cluster");
  assert.match(cluster.found, /^outbound\|80\|v1\|reviews\.default\.svc\.cluster\.local/);
  assert.deepEqual(places(cluster), [`DestinationRule reviews spec.subsets[0] ${lineOf("{name: v1,")}`]);
  assert.ok(cluster.notes.includes("outlier detection is on"));
  assert.equal(stepOf(path, "endpoints").found, `one of 127.0.0.1:${v1.port}`);
  assert.equal(stepOf(path, "TLS").found, `mutual TLS to 127.0.0.1:${v1.port}`);
  assert.equal(stepOf(path, "mTLS mode", "server").found, "STRICT");
  assert.deepEqual(places(stepOf(path, "mTLS mode", "server")), [
    `PeerAuthentication default spec.mtls ${lineOf("mode: STRICT")}`,
  ]);
  const verdict = stepOf(path, "authorization", "server");
  assert.match(verdict.found, /^allowed by ns\[default\]-policy\[reviews-allow\]-rule\[0\]$/);
  assert.deepEqual(places(verdict), [`AuthorizationPolicy reviews-allow spec.rules[0] ${lineOf("- from:")}`]);
  assert.match(stepOf(path, "application", "server").found, /^inbound\|\d+\|\| at 127\.0\.0\.1:\d+$/);
  assert.equal(path.summary.outcome.kind, "forwarded");
  assert.equal(path.summary.outcome.text, `forwarded to 127.0.0.1:${v1.port}`);
});

test("the rule that one more header leads to is taken with it", async () => {
  const path = await why("web", "reviews", "GET", "/api/1", "-H", "x-user: alice");
  const { found, notes } = stepOf(path, "route");
  assert.match(found, /^"canary", route \d+ of \d+$/);
  assert.match(notes[0] ?? "", /^takes: path begins with "\/api", header x-user = "alice"/);
  assert.equal(path.summary.outcome.text, `forwarded to 127.0.0.1:${v2.port}`);
});

test("weights are told in percent, with the hosts of each", async () => {
  const path = await why("web", "reviews", "GET", "/split");
  assert.match(stepOf(path, "action").found, /^forward: 75 % to outbound\|80\|v1\|.*, 25 % to outbound\|80\|v2\|/);
  assert.equal(path.summary.outcome.text, `forwarded to one of 127.0.0.1:${v1.port}, 127.0.0.1:${v2.port}`);
});

test("a redirect tells where to", async () => {
  const path = await why("web", "reviews", "GET", "/old");
  assert.equal(stepOf(path, "action").found, "redirect 308 to http://there.example/new");
  assert.deepEqual(places(stepOf(path, "action")), [
    `VirtualService reviews spec.http[1].match[0] ${lineOf("exact: /old")}`,
  ]);
  const { kind, status, location } = path.summary.outcome;
  assert.deepEqual({ kind, status, location }, { kind: "answered", status: 308, location: "http://there.example/new" });
  const real = await callHttp(web.outbound, { host: "reviews", path: "/old" });
  assert.equal(real.status, 308);
});

test("a fault is told with its rule", async () => {
  const path = await why("web", "reviews", "GET", "/broken");
  assert.deepEqual(places(stepOf(path, "action")), [
    `VirtualService reviews spec.http[2].match[0] ${lineOf("prefix: /broken")}`,
  ]);
  const { status, flags, code } = path.summary.outcome;
  assert.deepEqual({ status, flags, code }, { status: 418, flags: "FI", code: "WF5045" });
});

test("a subset that no DestinationRule has is named, with those it has", async () => {
  const path = await why("web", "reviews", "GET", "/gone");
  const cluster = stepOf(path, "cluster");
  assert.match(cluster.found, /missing\. reviews\.default\.svc\.cluster\.local has no subset "v9"$/);
  assert.deepEqual(cluster.notes, ["its subsets are v1, v2, v3"]);
  assert.deepEqual(places(cluster), [`DestinationRule reviews spec.subsets ${lineOf("subsets:")}`]);
  const { status, flags, code } = path.summary.outcome;
  assert.deepEqual({ status, flags, code }, { status: 503, flags: "NC", code: "WF5043" });
});

test("a denied request names the policy and its rule", async () => {
  const path = await why("web", "reviews", "GET", "/secret/1");
  const verdict = stepOf(path, "authorization", "server");
  assert.equal(verdict.found, "denied by ns[default]-policy[reviews-deny]-rule[1]");
  assert.deepEqual(places(verdict), [`AuthorizationPolicy reviews-deny spec.rules[1] ${lineOf("paths: [/secret")}`]);
  assert.equal(path.summary.outcome.status, 403);
  assert.equal(path.summary.outcome.code, "WF5041");
  assert.equal((await callHttp(web.outbound, { host: "reviews", path: "/secret/1" })).status, 403);
});

test("a client whom no ALLOW policy takes is denied by none", async () => {
  const path = await why("other", "reviews");
  assert.equal(stepOf(path, "authorization", "server").found, "denied: no rule of any ALLOW policy takes it");
  assert.equal(path.summary.outcome.status, 403);
  assert.equal((await callHttp(other.outbound, { host: "reviews" })).status, 403);
});

test("a host that nobody knows is answered as the proxy answers it", async () => {
  const path = await why("web", "nowhere.example");
  assert.equal(stepOf(path, "virtual host").found, "allow_any");
  assert.equal(path.summary.outcome.status, 502);
  assert.equal((await callHttp(web.outbound, { host: "nowhere.example" })).status, 502);
});

test("the table has a line for each step, and the outcome last", async () => {
  const { stdout } = await weft("why", "web.default", "reviews:80", "DELETE", "/x");
  const lines = stdout.trimEnd().split("\n");
  assert.match(lines[0] ?? "", /^SIDE +STEP +FOUND +OBJECT +SOURCE$/);
  assert.match(
    stdout,
    /server +authorization +denied by \S+ +AuthorizationPolicy default\/reviews-deny spec\.rules\[0\] +\S*test\.yaml:\d+:7/,
  );
  assert.match(lines.at(-1) ?? "", /^WF5041 403/);
});

test("an object that came by the API has the place it had there", async () => {
  await cp.apply(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: late, namespace: default}
spec: {hosts: [other], http: [{redirect: {uri: /x}}]}
`);
  await eventually("the redirect is there", async () =>
    (await callHttp(web.outbound, { host: "other" })).status === 301 ? true : undefined,
  );
  const { stdout } = await weft("why", "web", "other");
  assert.match(stdout, /VirtualService default\/late spec\.http\[0\] +test:4:\d+/);
});

for (const [what, args, code, exit] of [
  ["a source without a proxy", ["nobody", "reviews"], "WF9025", 1],
  ["a path without a slash", ["web", "reviews", "GET", "x"], "WF9022", 2],
  ["a header without a colon", ["web", "reviews", "-H", "x-user"], "WF9022", 2],
  ["a port that is none", ["web", "reviews", "--port", "70000"], "WF9022", 2],
  ["a form that is none", ["web", "reviews", "-o", "xml"], "WF9020", 2],
] as const) {
  test(`${what} is refused`, async () => {
    const result = await weft("why", ...args);
    assert.equal(result.code, exit, result.stderr);
    assert.match(result.stderr, new RegExp(`^${code} `));
    assert.equal(result.stdout, "");
  });
}
