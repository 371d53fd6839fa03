import assert from "node:assert/strict";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { WeftError } from "@weft/core/error";
import { findRoute } from "@weft/net/http/routes";
import { HttpRefusal, type HttpRequest } from "@weft/net/http/server";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import type { ConfigStore } from "../store/config-store.ts";
import { openTestPlane, type TestPlane } from "../testing/plane.ts";
import { configRoutes } from "./config-routes.ts";

const rule = (name: string): string => `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: ${name} }
spec: { host: ${name} }
`;
interface Answer {
  readonly code?: string;
  readonly result?: string;
  readonly items?: readonly {
    readonly metadata: { readonly name: string };
    readonly source: { readonly file: string };
  }[];
  readonly findings?: readonly { readonly code: string; readonly file: string }[];
}
const send = (mesh: TestPlane, path: string, body: string, method = "POST") => mesh.api<Answer>(path, { method, body });
const list = async (mesh: TestPlane) => (await mesh.api<Answer>("/v1/config")).body.items ?? [];

test("a change that the disk refuses is answered 507, and nothing of it is there", async () => {
  await using mesh = await openTestPlane();
  assert.equal((await send(mesh, "/v1/config/apply", rule("kept"))).status, 200);
  const folder = join(mesh.folder, "data/config");
  rmSync(folder, { recursive: true });
  const refused = [
    await send(mesh, "/v1/config/apply", `${rule("kept").replace("host: kept", "host: moved")}---\n${rule("more")}`),
    await send(mesh, "/v1/config/DestinationRule/default/more", rule("more"), "PUT"),
  ];
  for (const { status, body } of refused) assert.deepEqual([status, body.code], [507, "WF8507"]);
  assert.deepEqual(
    (await list(mesh)).map(({ metadata }) => metadata.name),
    ["kept"],
  );
  mkdirSync(folder);
  assert.equal((await send(mesh, "/v1/config/apply", rule("more"))).status, 200);
});

test("after a restart an object still says which file it was applied from", async () => {
  using folder = makePrivateFolder("weft-plane-");
  {
    await using mesh = await openTestPlane({ folder: folder.path });
    await send(mesh, "/v1/config/apply?file=rules/a.yaml", rule("a"));
  }
  await using again = await openTestPlane({ folder: folder.path });
  assert.deepEqual(
    (await list(again)).map(({ source }) => source.file),
    ["rules/a.yaml"],
  );
});

test("deleting an object that a file has says so, and so does the analysis afterwards", async () => {
  using folder = makePrivateFolder("weft-plane-");
  {
    await using first = await openTestPlane({ folder: folder.path });
    first.writeConfig("f.yaml", rule("held"));
  }
  await using mesh = await openTestPlane({ folder: folder.path });
  const { body } = await mesh.api<Answer>("/v1/config/DestinationRule/default/held", { method: "DELETE" });
  assert.equal(body.result, "deleted");
  assert.equal(body.findings?.[0]?.code, "WF8010");
  assert.match(body.findings?.[0]?.file ?? "", /f\.yaml$/);
  const analysis = (await mesh.api<{ items: readonly { code: string }[] }>("/v1/analyze")).body.items;
  assert.ok(analysis.some(({ code }) => code === "WF8010"));
  await send(mesh, "/v1/config/apply", rule("mine"));
  const own = await mesh.api<Answer>("/v1/config/DestinationRule/default/mine", { method: "DELETE" });
  assert.equal(own.body.findings, undefined);
});

test("what fails behind the store keeps its own status, and is not said to be for want of room", async () => {
  const status = async (error: Error): Promise<unknown> => {
    const fails = (): never => {
      throw error;
    };
    const store = { apply: fails, delete: fails } as unknown as ConfigStore;
    const routes = configRoutes({
      store,
      runningFindings: () => [],
      analysis: { run: () => assert.fail("nothing is analyzed") },
    });
    const found = findRoute(routes, "POST", "/v1/config/apply");
    assert.ok(found.kind === "found");
    try {
      return await found.handler({ query: new URLSearchParams(), body: Buffer.from("") } as unknown as HttpRequest);
    } catch (thrown) {
      return thrown instanceof HttpRefusal ? thrown.status : thrown;
    }
  };
  assert.equal(await status(new WeftError("WF8507", "full")), 507);
  assert.equal(await status(new HttpRefusal(503, "WF8599", "not now")), 503);
  const other = new WeftError("WF1001", "no such thing");
  assert.equal(await status(other), other);
});
