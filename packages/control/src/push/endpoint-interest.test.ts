import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAddress } from "@weft/core/address";
import { typeUrl } from "@weft/xds/resource";
import { openAdsClient, type Received } from "../testing/ads-client.ts";
import { openTestPlane, type TestPlane } from "../testing/plane.ts";

const endpoints = typeUrl("envoy.config.endpoint.v3.ClusterLoadAssignment");
const nameOf = (service: string): string => `outbound|80||${service}.default.svc.cluster.local`;

const putterOf =
  (mesh: TestPlane) =>
  async (service: string, last: number): Promise<void> => {
    const { status } = await mesh.api(`/v1/registry/${service}/instances/i0`, {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ address: `10.0.0.${last}`, port: 8080, servicePort: 80, ttlSeconds: 600 }),
    });
    assert.ok(status < 300);
  };

for (const mode of ["delta", "sotw"] as const) {
  test(`a ${mode} stream that asks for endpoints late gets what is newest, and their changes from then on`, async () => {
    await using mesh = await openTestPlane();
    const put = putterOf(mesh);
    for (const service of ["a", "b", "c"]) await put(service, 1);
    using client = openAdsClient(formatAddress(mesh.plane.xds), mode);
    const wanted: string[] = [];
    /** Delta says what is new, state of the world says all. */
    const ask = (nonce: string, ...services: string[]): void => {
      wanted.push(...services.map(nameOf));
      client.ask("endpoints", { names: mode === "delta" ? services.map(nameOf) : wanted, nonce });
    };
    const has = ({ text }: Received, service: string): boolean => text.includes(nameOf(service));
    ask("", "a");
    const first = await client.next();
    assert.ok(has(first, "a"));
    ask(first.nonce);
    for (let last = 2; last < 6; last++) await put("b", last);
    await put("a", 9);
    const changed = await client.next();
    assert.deepEqual([changed.typeUrl, has(changed, "a"), has(changed, "b")], [endpoints, true, false]);
    ask(changed.nonce, "b");
    const more = await client.next();
    assert.ok(has(more, "b"));
    assert.match(more.text, /10\.0\.0\.5/);
    ask(more.nonce);
    await put("c", 3);
    await put("b", 7);
    const pushed = await client.next();
    assert.ok(has(pushed, "b") && !has(pushed, "c"));
    assert.match(pushed.text, /10\.0\.0\.7/);
  });
}

test("streams that came with the same list go separate ways, and each gets what it wants then", async () => {
  await using mesh = await openTestPlane();
  const put = putterOf(mesh);
  const services = Array.from({ length: 12 }, (_, i) => `s${i}`);
  for (const service of services) await put(service, 1);
  const address = formatAddress(mesh.plane.xds);
  const list = services.slice(0, 10).map(nameOf);
  const open = async () => {
    const client = openAdsClient(address, "delta");
    client.ask("endpoints", { names: list });
    const { nonce } = await client.next();
    client.ask("endpoints", { nonce });
    return client;
  };
  using more = await open();
  using same = await open();
  using gone = await open();
  more.ask("endpoints", { names: [nameOf("s11")] });
  more.ask("endpoints", { nonce: (await more.next()).nonce });
  gone[Symbol.dispose]();
  await put("s11", 2);
  const own = await more.next();
  assert.deepEqual([own.names, own.text.includes("10.0.0.2")], [[nameOf("s11")], true]);
  more.ask("endpoints", { nonce: own.nonce });
  await put("s3", 7);
  for (const client of [more, same]) {
    const { names, text } = await client.next();
    assert.deepEqual([names, text.includes("10.0.0.7")], [[nameOf("s3")], true]);
  }
});
