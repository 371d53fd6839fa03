/** The disk of the data folder is full: what is known stays and serves, changes are refused clearly, and it heals by itself. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startSidecar } from "@weft/testkit/sidecar";
import { startEtcd } from "../registries/real-etcd.ts";
import { portsBecome, portsOf, sourceOf } from "../registries/sources.ts";

/** A disk of 16 MB in memory. */
const smallDisk = () => {
  const path = mkdtempSync(join(tmpdir(), "weft-test-disk-"));
  const run = (command: string, ...args: string[]): void => {
    const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
    if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
  };
  run("mount", "-t", "tmpfs", "-o", "size=16m", "weft-test", path);
  const filler = join(path, "filler");
  return {
    path,
    /** To the last byte. */
    fill: (): void => {
      const file = openSync(filler, "a");
      for (let size = 1 << 20; size >= 1; ) {
        try {
          writeSync(file, Buffer.alloc(size));
        } catch {
          size = Math.floor(size / 2);
        }
      }
      closeSync(file);
    },
    free: (): void => rmSync(filler),
    [Symbol.dispose]: () => {
      run("umount", "-l", path);
      rmSync(path, { recursive: true, force: true });
    },
  };
};

const answerTo = async (cp: TestControlPlane, method: string, path: string, body?: unknown) => {
  const response = await fetch(`http://${cp.http}${path}`, {
    method,
    headers: {
      "content-type": "application/json",
      authorization: `Bearer ${readFileSync(cp.adminTokenFile, "utf8").trim()}`,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return {
    status: response.status,
    body: (await response.json()) as { readonly code?: string; readonly next?: string },
  };
};

test("with a full disk registrations are refused clearly, everything known serves on, and room heals it", async () => {
  using disk = smallDisk();
  await using etcd = await startEtcd();
  await using echo = await startEchoServer("here");
  const args = ["--registry", `etcd://${etcd.address}/weft`];
  const instance = { address: "127.0.0.1", port: echo.port, servicePort: 80, protocol: "http", ttlSeconds: 600 };
  {
    await using cp = await startControlPlane({ folder: disk.path, args });
    await using web = await startSidecar(cp, { name: "web" });
    const api = (method: string, path: string, body?: unknown) => answerTo(cp, method, path, body);
    assert.equal((await api("PUT", "/v1/registry/shop/instances/a", instance)).status, 201);
    assert.equal((await api("PUT", "/v1/registry/brief/instances/b", { ...instance, ttlSeconds: 2 })).status, 201);
    await eventually(
      "it is called",
      async () => (await callHttp(web.outbound, { host: "shop" })).status === 200 || undefined,
    );

    disk.fill();
    const refused = await api("PUT", "/v1/registry/shop/instances/new", instance);
    assert.deepEqual([refused.status, refused.body.code], [503, "WF2260"]);
    assert.match(refused.body.next ?? "", /make room/);
    assert.equal((await api("DELETE", "/v1/registry/shop/instances/a")).status, 503);
    assert.equal((await api("POST", "/v1/registry/shop/instances/a/heartbeat")).status, 200);
    assert.equal(await portsOf(cp, "shop"), `${echo.port}`);
    assert.equal((await callHttp(web.outbound, { host: "shop" })).status, 200);
    await portsBecome(cp, "brief", "");
    await etcd.put("/weft/outside/one", "127.0.0.1:7001");
    await portsBecome(cp, "outside", "7001");
    await eventually("it is said that the view is not kept", async () => {
      const { items } = (await cp.api("GET", "/v1/analyze")) as { items: readonly { code: string }[] };
      return items.some(({ code }) => code === "WF2115") || undefined;
    });
    assert.equal((await sourceOf(cp, "etcd")).state, "live");

    disk.free();
    await eventually(
      "registrations are taken again",
      async () =>
        (await api("PUT", "/v1/registry/shop/instances/new", { ...instance, port: 7002 })).status === 201 || undefined,
    );
  }
  await using later = await startControlPlane({ folder: disk.path, args });
  await portsBecome(later, "shop", [`${echo.port}`, "7002"].sort().join(" "));
  assert.equal(await portsOf(later, "brief"), "");
});
