import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { issueLeaf, issueRoot, issuerOf } from "@weft/protocols/x509/issue";
import { publicKeyDer } from "@weft/protocols/x509/keys";
import { encodePem } from "@weft/protocols/x509/pem";
import { setRealTimer } from "../clock.ts";
import type { KubernetesAccess } from "./kubernetes-access.ts";
import { type KubernetesApi, openKubernetesApi } from "./kubernetes-api.ts";
import { KubernetesError } from "./kubernetes-error.ts";

const newKey = () => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const pemOf = (key: ReturnType<typeof newKey>): string => key.export({ format: "pem", type: "pkcs8" }).toString();
const dates = { notBeforeMs: Date.now() - 60_000, notAfterMs: Date.now() + 3_600_000 };
const rootKey = newKey();
const root = issueRoot({ key: rootKey, organization: "o", commonName: "c", serial: Buffer.alloc(16, 1), ...dates });
const key = pemOf(newKey());
const leaf = issueLeaf(issuerOf(root, rootKey), {
  publicKey: publicKeyDer(createPrivateKey(key)),
  altNames: { uris: [], dnsNames: ["kubernetes"], ipAddresses: [] },
  serial: Buffer.alloc(16, 2),
  ...dates,
});

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const serve = async (answer: Answer, more: Partial<KubernetesAccess> = {}) => {
  const server = createServer({ key, cert: encodePem("CERTIFICATE", leaf) }, answer);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const access: KubernetesAccess = {
    cluster: "test",
    server: `https://127.0.0.1:${(server.address() as AddressInfo).port}/base`,
    namespace: "default",
    authorities: () => encodePem("CERTIFICATE", root),
    serverName: "kubernetes",
    unchecked: false,
    credentials: async () => ({ token: "first" }),
    ...more,
  };
  const waits: number[] = [];
  const api = openKubernetesApi({
    access,
    // Waits for a busy server pass at once; bounds on answers are real.
    setTimer: (callback, ms) => {
      if (ms !== 3_000) return setRealTimer(callback, ms);
      waits.push(ms);
      return setRealTimer(callback, 0);
    },
  });
  const close = (): void => {
    api[Symbol.dispose]();
    server.closeAllConnections();
    server.close();
  };
  return { api, waits, [Symbol.dispose]: close };
};
const refusal = (response: ServerResponse, status: number, reason: string, headers: Record<string, string> = {}) => {
  response.writeHead(status, headers).end(JSON.stringify({ kind: "Status", reason, message: `it is ${reason}` }));
};
const get = (api: KubernetesApi, path = "/x") => api.call({ method: "GET", path });
const watched = (api: KubernetesApi, path = "/watch") => {
  const lines: string[] = [];
  const ending = new AbortController();
  const ended = new Promise<KubernetesError | undefined>((resolve) => {
    api.watch(path, { line: (text) => lines.push(text), ended: resolve }, ending.signal);
  });
  return { lines, ended, ending };
};

test("a call carries token, path and body, and gives the answer's JSON", async () => {
  using served = await serve(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const { method, url, headers } = request;
    const told = [method, url, headers.authorization, headers["content-type"], Buffer.concat(parts).toString()];
    response.end(JSON.stringify(told));
  });
  const contentType = "application/merge-patch+json";
  const call = { method: "PATCH", path: "/api/v1/x?a=b", body: { a: 1 }, contentType } as const;
  assert.deepEqual(await served.api.call(call), [
    "PATCH",
    "/base/api/v1/x?a=b",
    "Bearer first",
    contentType,
    '{"a":1}',
  ]);
});

test("a refusal is an error with status, reason and message", async () => {
  using served = await serve((_, response) => refusal(response, 409, "Conflict"));
  await assert.rejects(get(served.api), (error) => {
    assert.ok(error instanceof KubernetesError);
    assert.deepEqual([error.status, error.reason, error.message], [409, "Conflict", "it is Conflict"]);
    return true;
  });
});

test("a busy server is asked again after the time it wants, and not for ever", async () => {
  let left = 2;
  using served = await serve((_, response) => {
    if (left-- > 0) refusal(response, 429, "TooManyRequests", { "retry-after": "3" });
    else response.end("1");
  });
  assert.equal(await get(served.api), 1);
  assert.deepEqual(served.waits, [3_000, 3_000]);
  left = Number.POSITIVE_INFINITY;
  await assert.rejects(get(served.api), /TooManyRequests/);
  assert.equal(served.waits.length, 6);
});

test("credentials that were refused are renewed once, for calls and for watches", async () => {
  const asked: boolean[] = [];
  const credentials = async (refused: boolean) => {
    asked.push(refused);
    return { token: refused ? "second" : "first" };
  };
  using served = await serve(
    ({ headers }, response) =>
      headers.authorization === "Bearer second" ? response.end("{}\n") : refusal(response, 401, "Unauthorized"),
    { credentials },
  );
  assert.deepEqual(await get(served.api), {});
  const { lines, ended } = watched(served.api);
  assert.equal(await ended, undefined);
  assert.deepEqual([lines, asked], [["{}"], [false, true, false, true]]);
});

test("a server that does not answer in time, cannot be trusted, or cannot be reached is an error without a status", async () => {
  using silent = await serve(() => {});
  const call = { method: "GET", path: "/x", timeoutMs: 50 } as const;
  await assert.rejects(silent.api.call(call), { status: 0, reason: "Timeout" });
  using other = await serve((_, response) => response.end("1"), { serverName: "somebody.else" });
  await assert.rejects(get(other.api), { status: 0 });
  using stranger = await serve((_, response) => response.end("1"), { authorities: () => undefined });
  await assert.rejects(get(stranger.api), { status: 0 });
  using gone = await serve(() => {}, { server: "https://127.0.0.1:1" });
  await assert.rejects(get(gone.api), { status: 0 });
  using nobody = await serve(() => {}, { credentials: () => Promise.reject(new Error("no credentials")) });
  await assert.rejects(get(nobody.api), { status: 0, message: "no credentials" });
});

test("a watch that breaks, or is refused, says why; one that is given up says nothing more", async () => {
  using served = await serve((request, response) => {
    if (request.url?.endsWith("/refused")) refusal(response, 410, "Expired");
    else {
      response.write('{"a":1}\n');
      if (request.url?.endsWith("/broken")) setImmediate(() => request.socket.destroy());
    }
  });
  const refused = await watched(served.api, "/refused").ended;
  assert.deepEqual([refused?.status, refused?.reason], [410, "Expired"]);
  assert.equal((await watched(served.api, "/broken").ended)?.status, 0);
  let told = false;
  const ending = new AbortController();
  const { promise: first, resolve: seen } = Promise.withResolvers<void>();
  const handlers = {
    line: () => seen(),
    ended: () => {
      told = true;
    },
  };
  served.api.watch("/open", handlers, ending.signal);
  await first;
  ending.abort();
  await assert.rejects(served.api.call({ method: "GET", path: "/refused" }));
  assert.equal(told, false);
});

test("a probe takes any answer, keeps one connection of its own until connections are left, and does not wait for ever", async () => {
  const ports = new Map<string, Set<number | undefined>>();
  using served = await serve(({ url = "", socket }, response) => {
    ports.set(url, (ports.get(url) ?? new Set()).add(socket.remotePort));
    refusal(response, 403, "Forbidden");
  });
  const connections = (path: string): number => ports.get(`/base${path}`)?.size ?? 0;
  await served.api.probe(5_000);
  await assert.rejects(get(served.api));
  await served.api.probe(5_000);
  assert.deepEqual([connections("/version"), connections("/x")], [1, 1]);
  assert.equal(
    [...(ports.get("/base/version") ?? [])].some((port) => ports.get("/base/x")?.has(port)),
    false,
  );
  served.api.leaveConnections();
  await served.api.probe(5_000);
  await assert.rejects(get(served.api));
  assert.deepEqual([connections("/version"), connections("/x")], [2, 2]);
  using silent = await serve(() => {});
  await assert.rejects(silent.api.probe(50));
});
