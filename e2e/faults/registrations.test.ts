/** Very many register at once, the control plane is killed in the middle of it, and whoever was told so is registered. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { registerAtRate, serviceOf } from "./registration-load.ts";

const services = 30;
const load = { perSecond: 1_000, seconds: 3, services };

const registeredIn = async (cp: TestControlPlane): Promise<ReadonlySet<string>> => {
  const ids = new Set<string>();
  for (let at = 0; at < services; at++) {
    const answer = await cp.api("GET", `/v1/registry/${serviceOf(at, services)}/endpoints`);
    for (const { workload } of (answer as { items: readonly { workload: string }[] }).items) ids.add(workload);
  }
  return ids;
};

test("of 1,000 registrations a second none that was answered is lost by kill -9", async () => {
  await using cp = await startControlPlane();
  const token = readFileSync(cp.adminTokenFile, "utf8").trim();
  const total = load.perSecond * load.seconds;
  const killAt = total - 300;
  const { taken } = await registerAtRate({
    ...{ ...load, address: cp.http, token },
    sent: (at) => void (at === killAt && cp.program.kill("SIGKILL")),
  });
  await cp.program.exited;
  assert.ok(taken.length > 0 && taken.length < total, `${taken.length} of ${total} were answered`);
  const { xds, secure, http, folder } = cp;
  await using later = await startControlPlane({ folder, addresses: { xds, secure, http } });
  const ids = await registeredIn(later);
  assert.deepEqual(
    taken.filter((at) => !ids.has(`i${at}`)),
    [],
  );
  const rest = await registerAtRate({ ...load, seconds: 1, address: later.http, token });
  assert.deepEqual([rest.taken.length, [...rest.refused]], [load.perSecond, []]);
});
