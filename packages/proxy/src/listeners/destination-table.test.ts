import assert from "node:assert/strict";
import { test } from "node:test";
import { type Destination, DestinationTable } from "./destination-table.ts";

interface Named extends Destination {
  readonly name: string;
}
const named = (name: string, ...addresses: readonly (readonly [string, number])[]): Named => ({
  name,
  config: { addresses: addresses.map(([host, port]) => ({ host, port })) },
});
const outbound = named("virtualOutbound", ["0.0.0.0", 15_001], ["::", 15_001]);
const shared = named("0.0.0.0_80", ["0.0.0.0", 80], ["::", 80]);
const single = named("10.0.0.1_80", ["10.0.0.1", 80]);
const six = named("fd00_80", ["fd00:0::1", 80]);
const list = [outbound, shared, single, six];
const tableOf = (listeners: readonly Named[]) => new DestinationTable(() => listeners);

test("the very address wins over any address, in each of its spellings", () => {
  const table = tableOf(list);
  const find = (host: string, port: number) => table.find({ host, port }, outbound)?.name;
  assert.equal(find("10.0.0.1", 80), "10.0.0.1_80");
  assert.equal(find("10.0.0.2", 80), "0.0.0.0_80");
  assert.equal(find("fd00::1", 80), "fd00_80");
  assert.equal(find("fd00:0:0:0:0:0:0:1", 80), "fd00_80");
  assert.equal(find("fd00::2", 80), "0.0.0.0_80");
  assert.equal(find("10.0.0.1", 81), undefined);
});

test("the listener that accepted is never its own answer, but another of the same address is", () => {
  const twin = named("twin", ["10.0.0.1", 80]);
  const table = tableOf([...list, twin]);
  assert.equal(table.find({ host: "127.0.0.1", port: 15_001 }, outbound), undefined);
  assert.equal(table.find({ host: "10.0.0.1", port: 80 }, single), twin);
  assert.equal(table.find({ host: "10.0.0.2", port: 80 }, shared), undefined);
});

test("changes are seen once they are told", () => {
  const listeners = [outbound];
  const table = tableOf(listeners);
  const ask = () => table.find({ host: "10.0.0.9", port: 80 }, outbound);
  assert.equal(ask(), undefined);
  listeners.push(shared);
  table.changed();
  assert.equal(ask(), shared);
  listeners.pop();
  table.changed();
  assert.equal(ask(), undefined);
});

test("the cost of a question does not grow with the number of listeners", () => {
  let read = 0;
  const many = Array.from({ length: 2000 }, (_, i) => named(`l${i}`, [`10.${i >> 8}.${i & 255}.1`, 1000 + i]));
  const table = new DestinationTable(() => {
    read++;
    return many;
  });
  for (let i = 0; i < 100; i++) assert.equal(table.find({ host: "10.3.1.1", port: 1769 }, outbound)?.name, "l769");
  assert.equal(read, 1);
});
