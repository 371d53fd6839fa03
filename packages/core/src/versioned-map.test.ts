import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { VersionedMap } from "./versioned-map.ts";

const names = ["a", "b", "c", "d", "e"];

test("every version reads as it was made, however many follow and from whichever they were made", () => {
  const change = fc.record({
    from: fc.nat({ max: 30 }),
    values: fc.dictionary(fc.constantFrom(...names), fc.nat({ max: 3 }), { noNullPrototype: true }),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 25 }), (changes) => {
      const plain = [new Map(names.map((name) => [name, 0]))];
      const versions: ReadonlyMap<string, number>[] = [new Map(plain[0])];
      for (const { from, values } of changes) {
        const at = from % versions.length;
        const given = new Map(Object.entries(values));
        plain.push(new Map([...(plain[at] as Map<string, number>), ...given]));
        versions.push(VersionedMap.changed(versions[at] as ReadonlyMap<string, number>, given));
      }
      versions.forEach((version, at) => {
        assert.deepEqual([...version], [...(plain[at] as Map<string, number>)]);
        assert.deepEqual([...version.values()], [...(plain[at] as Map<string, number>).values()]);
        assert.equal(version.size, names.length);
      });
      for (const [i, from] of versions.entries()) {
        for (const [j, to] of versions.entries()) {
          const between = VersionedMap.between(from, to);
          if (!between) continue;
          const [a, b] = [plain[i] as Map<string, number>, plain[j] as Map<string, number>];
          for (const name of names) if (a.get(name) !== b.get(name)) assert.ok(between.has(name));
        }
      }
    }),
  );
});

test("a version and those that followed in one line know what is between them, backwards they do not", () => {
  const first = VersionedMap.changed(new Map(names.map((name) => [name, 0])), new Map());
  const second = VersionedMap.changed(first, new Map([["b", 1]]));
  const third = VersionedMap.changed(
    second,
    new Map([
      ["b", 1],
      ["c", 2],
    ]),
  );
  assert.deepEqual(VersionedMap.between(first, third), new Set(["b", "c"]));
  const fourth = VersionedMap.changed(third, new Map([["a", 9]]));
  assert.deepEqual(VersionedMap.between(first, fourth), new Set(["b", "c", "a"]));
  assert.deepEqual(VersionedMap.between(first, third), new Set(["b", "c"]));
  assert.deepEqual(VersionedMap.between(third, third), new Set());
  assert.equal(VersionedMap.between(third, first), undefined);
  assert.equal(VersionedMap.between(new Map(first), third), undefined);
  assert.ok(VersionedMap.areVersions(first, third) && VersionedMap.areVersions(third, first));
  assert.ok(!VersionedMap.areVersions(first, new Map(first)));
  assert.ok(!VersionedMap.areVersions(third, VersionedMap.changed(first, new Map([["a", 5]]))));
});

test("a name that was not there is refused and changes nothing", () => {
  const map = VersionedMap.changed(new Map([["a", 1]]), new Map());
  assert.throws(
    () =>
      VersionedMap.changed(
        map,
        new Map([
          ["a", 2],
          ["x", 1],
        ]),
      ),
    TypeError,
  );
  assert.deepEqual([...map], [["a", 1]]);
});

test("of changes a few thousand are remembered, and a version from before them still reads as it was made", () => {
  const first = VersionedMap.changed(new Map(names.map((name) => [name, -1])), new Map());
  let newest: ReadonlyMap<string, number> = first;
  const versions = Array.from({ length: 10_000 }, (_, i) => {
    newest = VersionedMap.changed(newest, new Map([[names[i % names.length] as string, i]]));
    return newest;
  });
  assert.equal(VersionedMap.between(first, newest), undefined);
  assert.equal(VersionedMap.visitBetween(first, newest, assert.fail), false);
  assert.deepEqual([...first.values()], [-1, -1, -1, -1, -1]);
  assert.deepEqual(VersionedMap.between(versions.at(-3) as typeof first, newest), new Set(["d", "e"]));
  const visited: string[] = [];
  assert.equal(
    VersionedMap.visitBetween(versions.at(-4001) as typeof first, newest, (name) => void visited.push(name)),
    true,
  );
  assert.equal(visited.length, 4000);
});

test("all versions of a map have one mark, and maps of the same content have others", () => {
  const first = VersionedMap.first(new Map(names.map((name) => [name, 0])));
  const second = VersionedMap.changed(first, new Map([["a", 1]]));
  assert.ok(VersionedMap.lineOf(first));
  assert.equal(VersionedMap.lineOf(second), VersionedMap.lineOf(first));
  assert.notEqual(VersionedMap.lineOf(VersionedMap.changed(first, new Map([["a", 1]]))), VersionedMap.lineOf(second));
  assert.equal(VersionedMap.lineOf(new Map(first)), undefined);
});
