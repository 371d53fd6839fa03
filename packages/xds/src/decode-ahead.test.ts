import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeResource, encodeResource } from "./codec.ts";
import { decodeAhead } from "./decode-ahead.ts";
import type { EncodedResource } from "./discovery.ts";
import { type ResourceJson, resourceType } from "./resource.ts";

const run = (resources: readonly EncodedResource[]) => {
  const work = decodeAhead(resources);
  for (let steps = 0; ; steps++) {
    const { done, value } = work.next();
    if (done) return { decoded: value, steps };
  }
};

const encoded = (json: ResourceJson["route"]): EncodedResource => ({
  name: json.name ?? "",
  version: "1",
  typeUrl: resourceType("route").typeUrl,
  value: encodeResource("route", json),
});

const host = (index: number, prefix: string) => ({
  name: `h${index}`,
  domains: [`h${index}`],
  routes: [{ match: { prefix }, route: { cluster: "c", timeout: "15s" } }],
});

test("a table decoded a host at a time is the table decoded at once, to the order of its fields", () => {
  const table = fc
    .record({
      name: fc.option(fc.constantFrom("80", "x"), { nil: undefined }),
      hosts: fc.array(fc.constantFrom("/", "/a"), { maxLength: 5 }),
      strip: fc.boolean(),
      config: fc.boolean(),
    })
    .map(({ name, hosts, strip, config }): ResourceJson["route"] => ({
      ...(name === undefined ? {} : { name }),
      virtualHosts: hosts.map((prefix, index) => host(index, prefix)),
      ...(strip ? { ignorePortInHostMatching: true, requestHeadersToRemove: ["x-a"] } : {}),
      ...(config
        ? { typedPerFilterConfig: { f: { "@type": "type.googleapis.com/some.Unknown", value: "AQI=" } as never } }
        : {}),
    }));
  fc.assert(
    fc.property(table, (json) => {
      const resource = encoded(json);
      const { decoded, steps } = run([resource]);
      const whole = decodeResource(resource.typeUrl, resource.value as Uint8Array);
      assert.equal(JSON.stringify(decoded[0]?.json), JSON.stringify(whole));
      assert.equal(steps, (json.virtualHosts ?? []).length + 1);
    }),
  );
});

test("what cannot be decoded is left as it came, and the rest is decoded", () => {
  const good = encoded({ name: "80", virtualHosts: [host(0, "/")] });
  const cut = { ...good, name: "cut", value: (good.value as Uint8Array).slice(0, -1) };
  const bodiless = { ...good, name: "beat", value: undefined };
  const other = { ...good, name: "other", typeUrl: "type.googleapis.com/some.Thing" };
  const { decoded } = run([cut, bodiless, other, good]);
  assert.deepEqual(decoded.slice(0, 3), [cut, bodiless, other]);
  assert.equal((decoded[3]?.json as ResourceJson["route"] | undefined)?.name, "80");
});

test("any bytes are decoded as they would be at once, or left", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (value) => {
      const resource = { ...encoded({ name: "80" }), value };
      const [decoded] = run([resource]).decoded;
      if (decoded?.json === undefined) return;
      assert.equal(JSON.stringify(decoded.json), JSON.stringify(decodeResource(resource.typeUrl, value)));
    }),
    { numRuns: 2000 },
  );
});
