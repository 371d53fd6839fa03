import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { silentLogger } from "@weft/core/world";
import { realClock, setRealTimer } from "@weft/net/clock";
import type { KubernetesCall } from "@weft/net/kubernetes/kubernetes-api";
import { KubernetesError } from "@weft/net/kubernetes/kubernetes-error";
import { readLease } from "./lease-object.ts";
import { notHolder, openWriterLease, type WriterLease } from "./writer-lease.ts";

interface Stored {
  readonly kind: string;
  readonly metadata: { readonly resourceVersion: string };
  readonly spec: Readonly<Record<string, unknown>>;
}

/** One Lease as an API server keeps it. */
const fakeServer = () => {
  let lease: Stored | undefined;
  let version = 0;
  const state = { away: false, held: undefined as Promise<void> | undefined };
  const call = async ({ method, path, body }: KubernetesCall): Promise<unknown> => {
    if (state.away) throw new KubernetesError(0, "", "nobody there");
    if (!path.includes("/leases")) {
      await state.held;
      return { path };
    }
    if (method === "GET") {
      if (!lease) throw new KubernetesError(404, "NotFound", "no lease");
      return lease;
    }
    const given = body as Stored;
    const isCurrent = method === "POST" ? !lease : lease?.metadata.resourceVersion === given.metadata.resourceVersion;
    if (!isCurrent) throw new KubernetesError(409, "Conflict", "another version");
    version++;
    lease = { kind: "Lease", metadata: { resourceVersion: String(version) }, spec: given.spec };
    return lease;
  };
  return { call, state, lease: () => lease };
};
const open = (
  server: ReturnType<typeof fakeServer>,
  identity: string,
): { lease: WriterLease; begun: Promise<void> } => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const lease = openWriterLease({
    ...{ api: server, namespace: "mesh", name: "weft-writer", identity },
    ...{ clock: realClock, setTimer: setRealTimer, random: Math.random, log: silentLogger },
    changed: (writes) => {
      if (writes) resolve();
    },
  });
  return { lease, begun: promise };
};
const patch: KubernetesCall = { method: "PATCH", path: "/apis/x/status", body: {} };

describe("the lease of who writes", () => {
  test("is had by the first who asks, and the other may not write", async () => {
    const server = fakeServer();
    const { lease: first, begun } = open(server, "a");
    await begun;
    await using _first = first;
    await using second = open(server, "b").lease;
    assert.deepEqual(await first.write(patch), { path: "/apis/x/status" });
    await assert.rejects(second.write(patch), { reason: notHolder });
    assert.equal(server.lease()?.spec.holderIdentity, "a");
  });
  test("is given away on a proper end, after what was being written", async () => {
    const server = fakeServer();
    const { lease, begun } = open(server, "a");
    await begun;
    const slow = Promise.withResolvers<void>();
    server.state.held = slow.promise;
    const writing = lease.write(patch);
    const ended = lease[Symbol.asyncDispose]();
    await assert.rejects(lease.write(patch), { reason: notHolder });
    assert.equal(server.lease()?.spec.holderIdentity, "a");
    slow.resolve();
    await Promise.all([writing, ended]);
    assert.equal(server.lease()?.spec.holderIdentity, "");
    const { begun: next, lease: other } = open(server, "b");
    await next;
    assert.equal(server.lease()?.spec.leaseTransitions, 1);
    await other[Symbol.asyncDispose]();
  });
  test("an API server that is away is waited for, and an end does not hang on it", async () => {
    const server = fakeServer();
    server.state.away = true;
    const { lease } = open(server, "a");
    await assert.rejects(lease.write(patch), { reason: notHolder });
    await lease[Symbol.asyncDispose]();
    assert.equal(server.lease(), undefined);
  });
});

test("a Lease with odd members reads as one that nobody holds, and what is none as nothing", () => {
  const odd = {
    kind: "Lease",
    metadata: { resourceVersion: "1" },
    spec: { leaseDurationSeconds: "x", holderIdentity: 5 },
  };
  assert.deepEqual([readLease(odd)?.holder, readLease(odd)?.ttlMs], ["", 0]);
  for (const none of [
    undefined,
    null,
    "",
    {},
    { kind: "Lease" },
    { kind: "Status", metadata: { resourceVersion: "1" } },
  ]) {
    assert.equal(readLease(none), undefined);
  }
});
