import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { request as askHttps } from "node:https";
import { after, before, describe, test } from "node:test";
import { connect } from "node:tls";
import type { WeftError } from "@weft/core/error";
import { silentLogger } from "@weft/core/world";
import { realClock, setRealTimer } from "@weft/net/clock";
import type { HttpServer } from "@weft/net/http/server";
import fc from "fast-check";
import { createAnalysis } from "../analysis/analysis.ts";
import { type Authority, openAuthority } from "../ca/authority.ts";
import { createMetrics } from "../metrics/metrics.ts";
import { admissionMetrics } from "./admission-metrics.ts";
import { readReview, reviewAnswer, reviewBytesMax, warningCharsMax, warningsMax } from "./admission-review.ts";
import { admissionRoutes } from "./admission-routes.ts";
import { allNative, withoutCluster } from "./injection-source.ts";
import { openWebhookServer, serviceHosts } from "./webhook-server.ts";

const newAuthority = (): Authority => {
  const files = new Map<string, string>();
  const store = {
    read: (name: string) => files.get(name),
    write: (name: string, text: string) => void files.set(name, text),
  };
  return openAuthority({ store, trustDomain: "cluster.local", nowMs: Date.now(), randomBytes });
};
const review = (request: object, more: object = {}): Record<string, unknown> => ({
  ...{ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request: { uid: "u-1", ...request } },
  ...more,
});
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

describe("a review", () => {
  const refused = (body: Buffer, type: string | undefined, why: RegExp): void =>
    assert.throws(
      () => readReview(body, type),
      ({ code, message }: WeftError) => code === "WF2187" && why.test(message),
    );
  test("is refused in another version, form or type of content", () => {
    refused(bytes(review({})), "text/plain", /text\/plain/);
    refused(bytes(review({})), undefined, /content type/);
    refused(Buffer.from("{"), "application/json", /not JSON/);
    refused(bytes([]), "application/json", /no AdmissionReview/);
    refused(bytes(review({}, { apiVersion: "admission.k8s.io/v1beta1" })), "application/json", /v1beta1/);
    refused(bytes(review({}, { request: undefined })), "application/json", /no request/);
    refused(bytes(review({ uid: "" })), "application/json", /uid/);
    refused(bytes(review({ object: "pod" })), "application/json", /object/);
  });
  test("is read with what is absent or odd taken as not said", () => {
    const read = readReview(bytes(review({ kind: 5, dryRun: "yes", object: null })), "application/json; charset=utf-8");
    assert.deepEqual([read.uid, read.kind.kind, read.dryRun, read.object], ["u-1", "", false, undefined]);
  });
  test("never fails otherwise than with a code, whatever JSON it is", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (request, rest) => {
        try {
          readReview(bytes(review(request as object, rest as object)), "application/json");
        } catch (error) {
          assert.equal((error as WeftError).code, "WF2187");
        }
      }),
    );
  });
  test("is answered under its uid, with warnings within bounds", () => {
    const warnings = Array.from({ length: 100 }, () => "w".repeat(5_000));
    const { response } = reviewAnswer("u-1", { kind: "denied", message: "m".repeat(10_000), warnings }) as {
      response: { uid: string; allowed: boolean; warnings: string[]; status: { message: string; code: number } };
    };
    assert.deepEqual([response.uid, response.allowed, response.status.code], ["u-1", false, 422]);
    assert.equal(response.warnings.length, warningsMax);
    assert.ok(response.warnings.every((one) => one.length <= warningCharsMax));
    assert.ok(response.status.message.length <= 4_000);
  });
});

interface Answer {
  readonly status: number;
  readonly text: string;
}
interface ReviewResponse {
  readonly uid: string;
  readonly allowed: boolean;
  readonly patch?: string;
  readonly patchType?: string;
  readonly warnings?: readonly string[];
  readonly status?: { readonly message: string };
}

describe("the webhooks over HTTPS", () => {
  const authority = newAuthority();
  const metrics = createMetrics();
  let server: HttpServer;
  let unread = false;
  before(async () => {
    server = await openWebhookServer({
      address: { host: "127.0.0.1", port: 0 },
      ...{ authority, clock: realClock, setTimer: setRealTimer, log: silentLogger },
      identity: { trustDomain: "cluster.local", namespace: "istio-system", serviceAccount: "istiod" },
      hosts: serviceHosts("istiod", "istio-system"),
      routes: admissionRoutes({
        revision: "default",
        injection: (namespace, place) => ({
          ...withoutCluster("default").settings(namespace, place),
          ...(unread ? { unread } : {}),
        }),
        judging: {
          others: () => [],
          analysis: createAnalysis({ facts: () => ({}), clock: realClock, setTimer: setRealTimer }),
        },
        ...{ metrics: admissionMetrics(metrics), clock: realClock, log: silentLogger },
      }),
    });
  });
  after(() => server.close());

  const post = (path: string, body: Buffer, headers: Record<string, string> = {}): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const asked = askHttps(
        {
          ...{ host: "127.0.0.1", port: server.address.port, path, method: "POST", ca: authority.rootPem },
          servername: "istiod.istio-system.svc",
          headers: { "content-type": "application/json", ...headers },
        },
        (response) => {
          const parts: Buffer[] = [];
          response.on("data", (part: Buffer) => parts.push(part));
          response.on("end", () =>
            resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString("utf8") }),
          );
        },
      );
      asked.on("error", reject);
      asked.end(body);
    });
  const decided = async (path: string, request: object): Promise<ReviewResponse> => {
    const { status, text } = await post(path, bytes(review(request)));
    assert.equal(status, 200, text);
    return (JSON.parse(text) as { response: ReviewResponse }).response;
  };
  const pod = { metadata: { generateName: "web-" }, spec: { containers: [{ name: "app", image: "a" }] } };
  const podRequest = (object: object, more: object = {}) => ({
    ...{ kind: { group: "", version: "v1", kind: "Pod" }, operation: "CREATE", namespace: "shop", object },
    ...more,
  });
  const objectRequest = (object: object, more: object = {}) => ({
    ...{ kind: { group: "networking.istio.io", version: "v1", kind: "VirtualService" }, operation: "CREATE" },
    ...{ namespace: "shop", resource: { resource: "virtualservices" }, object, ...more },
  });
  const virtualService = (timeout: string, metadata: object = {}) => ({
    ...{ apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata: { name: "app", ...metadata } },
    spec: { hosts: ["app"], http: [{ timeout, route: [{ destination: { host: "app" } }] }] },
  });

  test("answer a pod with a patch in base64, with the place that the path names", async () => {
    const answer = await decided("/inject/cluster/east/net/blue", podRequest(pod));
    assert.deepEqual([answer.uid, answer.allowed, answer.patchType], ["u-1", true, "JSONPatch"]);
    const patch = JSON.parse(Buffer.from(answer.patch ?? "", "base64").toString("utf8")) as readonly object[];
    assert.match(JSON.stringify(patch), /istio-proxy/);
    assert.match(JSON.stringify(patch), /east/);
    assert.match(JSON.stringify(patch), /blue/);
  });
  test("leave alone what is no pod, no creation, or says no", async () => {
    for (const request of [
      podRequest(pod, { operation: "UPDATE" }),
      podRequest(pod, { kind: { group: "apps", version: "v1", kind: "Deployment" } }),
      podRequest(pod, { subResource: "exec" }),
      podRequest({ ...pod, metadata: { labels: { "sidecar.istio.io/inject": "false" } } }),
    ]) {
      const answer = await decided("/inject", request);
      assert.deepEqual([answer.allowed, answer.patch], [true, undefined]);
    }
  });
  test("refuse paths that say nothing known", async () => {
    for (const path of ["/inject/zone/a", "/inject/cluster/a/cluster/b", "/inject/cluster/a%20b", "/inject/cluster"]) {
      assert.equal((await post(path, bytes(review(podRequest(pod))))).status, 404, path);
    }
  });
  test("refuse a wrong object with its code and field, and warn of what else is odd", async () => {
    const wrong = await decided("/validate", objectRequest(virtualService("5 s")));
    assert.equal(wrong.allowed, false);
    assert.match(wrong.status?.message ?? "", /^WF1006 spec\.http\[0\]\.timeout: /);
    const odd = { ...virtualService("5s"), spec: { ...virtualService("5s").spec, hostz: ["a"] } };
    const warned = await decided("/validate", objectRequest(odd));
    assert.equal(warned.allowed, true);
    assert.match(warned.warnings?.join("\n") ?? "", /WF1003 spec\.hostz: unknown field "hostz"/);
    assert.match(warned.warnings?.join("\n") ?? "", /WF1101 spec\.http\[0\]\.route\[0\]\.destination\.host: /);
  });
  test("let through deletions, status, other revisions and kinds nobody knows", async () => {
    const wrong = virtualService("5 s");
    const rev = { labels: { "istio.io/rev": "canary" } };
    for (const request of [
      objectRequest(wrong, { operation: "DELETE", object: null }),
      objectRequest(wrong, { subResource: "status" }),
      objectRequest(virtualService("5 s", rev)),
      objectRequest({ apiVersion: "networking.istio.io/v9", kind: "Later", metadata: { name: "a" } }),
      objectRequest({ apiVersion: "example.com/v1", kind: "Own", metadata: { name: "a" } }),
    ]) {
      assert.equal((await decided("/validate", request)).allowed, true, JSON.stringify(request));
    }
    const own = { labels: { "istio.io/rev": "default" } };
    assert.equal((await decided("/validate", objectRequest(virtualService("5 s", own)))).allowed, false);
  });
  test("let an object go that is wrong and being deleted: who takes its finalizers off has nothing to correct", async () => {
    const going = virtualService("5 s", { deletionTimestamp: "2026-01-02T03:04:05Z", finalizers: [] });
    assert.equal((await decided("/validate", objectRequest(going, { operation: "UPDATE" }))).allowed, true);
    const staying = virtualService("5 s", { deletionTimestamp: null });
    assert.equal((await decided("/validate", objectRequest(staying, { operation: "UPDATE" }))).allowed, false);
  });
  test("judge an object without a name yet as one with a name", async () => {
    const unnamed = { ...virtualService("5s"), metadata: { generateName: "app-" } };
    assert.equal((await decided("/validate", objectRequest(unnamed))).allowed, true);
  });
  test("answer what they cannot read with a code, and count it", async () => {
    const plain = await post("/validate", Buffer.from("no"), { "content-type": "text/plain" });
    assert.deepEqual([plain.status, JSON.parse(plain.text).code], [400, "WF2187"]);
    const old = await post("/inject", bytes(review({}, { apiVersion: "admission.k8s.io/v1beta1" })));
    assert.deepEqual([old.status, JSON.parse(old.text).code], [400, "WF2187"]);
    const big = await post("/inject", Buffer.alloc(reviewBytesMax + 1, " "));
    assert.deepEqual([big.status, JSON.parse(big.text).code], [413, "WF8413"]);
    const deep = await post("/validate", Buffer.from(`{"a":${"[".repeat(50_000)}${"]".repeat(50_000)}}`));
    assert.equal(deep.status, 400);
    assert.match(metrics.print(), /galley_validation_http_error\{path="validate"\} 2/);
  });
  test("refuse what nests beyond all measure, and take what only looks so", async () => {
    const nested = `${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`;
    for (const [path, request] of [
      ["/validate", objectRequest(virtualService("5s", { annotations: { note: "HERE" } }))],
      ["/inject", podRequest({ ...pod, metadata: { name: "web", annotations: { note: "HERE" } } })],
    ] as const) {
      const text = JSON.stringify(review(request));
      const answer = await post(path, Buffer.from(text.replace('"HERE"', nested)));
      assert.deepEqual([answer.status, JSON.parse(answer.text).code], [400, "WF2187"]);
      assert.match(answer.text, /nests deeper than 500/);
      const quoted = text.replace('"HERE"', JSON.stringify(`\\"${"{[".repeat(20_000)}\\`));
      assert.equal(JSON.parse((await post(path, Buffer.from(quoted))).text).response.allowed, true);
    }
  });
  test("refuse a pod while it is not known what it gets, and leave alone one that gets nothing", async () => {
    unread = true;
    const refused = await decided("/inject", podRequest(pod));
    const left = await decided("/inject", podRequest({ ...pod, spec: { ...pod.spec, hostNetwork: true } }));
    unread = false;
    assert.deepEqual([refused.allowed, left.allowed], [false, true]);
    assert.match(refused.status?.message ?? "", /^WF5065 /);
    assert.equal((await decided("/inject", podRequest(pod))).allowed, true);
  });
  test("serve the next certificate to the next connection", async () => {
    const shown = async (): Promise<string> => {
      const socket = connect({
        ...{ host: "127.0.0.1", port: server.address.port, ca: authority.rootPem },
        servername: "istiod.istio-system.svc",
      });
      await once(socket, "secureConnect");
      const { serialNumber } = socket.getPeerCertificate();
      socket.destroy();
      return serialNumber;
    };
    const first = await shown();
    const names = { identity: { trustDomain: "cluster.local", namespace: "a", serviceAccount: "b" } };
    const hosts = serviceHosts("istiod", "istio-system");
    const { chain, keyPem } = authority.issueServer({ ...names, hosts }, 3_600_000, Date.now());
    server.setTls({ key: keyPem, cert: chain.join("") });
    assert.notEqual(await shown(), first);
  });
  test("count what they did", () => {
    const text = metrics.print();
    assert.match(text, /sidecar_injection_success_total 3\n/);
    assert.match(text, /sidecar_injection_failure_total 1\n/);
    assert.match(text, /sidecar_injection_skip_total 2\n/);
    assert.match(
      text,
      /galley_validation_failed\{group="networking.istio.io",version="v1",resource="virtualservices"\} 3/,
    );
  });
});

test("native sidecars are for clusters of which every kubelet has them", () => {
  const nodes = (...versions: readonly unknown[]) => ({
    items: versions.map((kubeletVersion) => ({ status: { nodeInfo: { kubeletVersion } } })),
  });
  assert.equal(allNative(nodes("v1.33.0", "v1.36.3-eks-1", "v2.0.0")), true);
  assert.equal(allNative(nodes("v1.33.0", "v1.32.9")), false);
  assert.equal(allNative(nodes("v1.33.0", 5)), false);
  assert.equal(allNative(nodes()), false);
  assert.equal(allNative("no list"), false);
});
