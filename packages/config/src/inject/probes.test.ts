import assert from "node:assert/strict";
import { test } from "node:test";
import { type JsonObject, valueAt } from "./json-values.ts";
import { containerOf, envOf, injected, injectOne } from "./testing/inject-one.ts";

const web = (more: JsonObject): JsonObject => ({
  name: "web",
  ports: [{ name: "http", containerPort: 8080 }],
  ...more,
});
const probersOf = (pod: JsonObject): unknown => {
  const text = envOf(containerOf(pod, "istio-proxy")).get("ISTIO_KUBE_APP_PROBERS");
  return text === undefined ? undefined : JSON.parse(String(text));
};

test("HTTP, TCP and gRPC probes are asked by the proxy; named ports become numbers", () => {
  const container = web({
    readinessProbe: {
      httpGet: { path: "/ready", port: "http", httpHeaders: [{ name: "a", value: "b" }] },
      periodSeconds: 7,
    },
    livenessProbe: { tcpSocket: { port: 8080 }, timeoutSeconds: 4 },
    startupProbe: { grpc: { port: 9000, service: "s" } },
  });
  const pod = injected({ spec: { containers: [container] } });
  assert.deepEqual(containerOf(pod, "web").readinessProbe, {
    periodSeconds: 7,
    httpGet: { path: "/app-health/web/readyz", port: 15_020, scheme: "HTTP" },
  });
  assert.deepEqual(probersOf(pod), {
    "/app-health/web/readyz": { httpGet: { path: "/ready", port: 8080, httpHeaders: [{ name: "a", value: "b" }] } },
    "/app-health/web/livez": { tcpSocket: { port: 8080 }, timeoutSeconds: 4 },
    "/app-health/web/startupz": { grpc: { port: 9000, service: "s" } },
  });
});

test("commands stay, and so do probes of another host", () => {
  const container = web({
    readinessProbe: { exec: { command: ["true"] } },
    livenessProbe: { httpGet: { host: "example.com", port: 80 } },
  });
  const pod = injected({ spec: { containers: [container] } });
  assert.deepEqual(containerOf(pod, "web"), container);
  assert.equal(probersOf(pod), undefined);
});

test("hooks over HTTP are asked by the proxy too", () => {
  const pod = injected({
    spec: { containers: [web({ lifecycle: { preStop: { httpGet: { path: "/bye", port: "http" } } } })] },
  });
  assert.equal(
    valueAt(containerOf(pod, "web"), "lifecycle", "preStop", "httpGet", "path"),
    "/app-lifecycle/web/prestopz",
  );
  assert.deepEqual(probersOf(pod), { "/app-lifecycle/web/prestopz": { httpGet: { path: "/bye", port: 8080 } } });
});

test("a port that no container names leaves the probe, and is told with its place", () => {
  const outcome = injectOne({ spec: { containers: [web({ readinessProbe: { httpGet: { port: "admin" } } })] } });
  assert.deepEqual(
    outcome.notes.map(({ code, path }) => [code, path]),
    [["WF2175", ["spec", "containers", 0, "readinessProbe"]]],
  );
});

test("rewriting is off by annotation, and where the status has no port", () => {
  const containers = [web({ readinessProbe: { httpGet: { port: 8080 } } })];
  for (const annotations of [
    { "sidecar.istio.io/rewriteAppHTTPProbers": "false" },
    { "status.sidecar.istio.io/port": "0" },
  ]) {
    const pod = injected({ annotations, spec: { containers } });
    assert.deepEqual(containerOf(pod, "web").readinessProbe, { httpGet: { port: 8080 } });
  }
});

test("what starts before a classic proxy is not asked by it, for each would wait for the other", () => {
  const log = { name: "log", restartPolicy: "Always", startupProbe: { httpGet: { port: 9 } } };
  const spec = { initContainers: [log], containers: [web({})] };
  const classic = injectOne({ spec });
  assert.equal(classic.kind, "injected");
  const pod = classic.kind === "injected" ? classic.pod : {};
  assert.deepEqual(containerOf(pod, "log"), log);
  assert.equal(probersOf(pod), undefined);
  assert.deepEqual(
    classic.notes.map(({ code, path }) => [code, path]),
    [["WF2175", ["spec", "initContainers", 0]]],
  );
  const native = injected({ spec }, { nativeSidecars: true });
  assert.deepEqual(probersOf(native), { "/app-health/log/startupz": { httpGet: { port: 9 } } });
});
