import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import type { DescMessage } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { fileOf } from "@weft/xds/gen/descriptors";
import { ListenerSchema } from "@weft/xds/gen/envoy/config/listener/v3/listener";

const folder = join(import.meta.dirname, "../gen");
const paths = globSync("**/*_pb.js", { cwd: folder });

/** Type by type: what a field names in the .proto file, and what it has. A map's entry has no descriptor of its own. */
const typesOf = ({ fields }: DescMessage): readonly (readonly [named: string, has: string])[] =>
  fields.flatMap((field) => {
    const type = field.message ?? field.enum;
    return field.fieldKind === "map" || type === undefined
      ? []
      : [[field.proto.typeName, `.${type.typeName}`] as const];
  });

test("every generated module has its descriptor, and every field in it the type it names", async () => {
  assert.ok(paths.length > 100);
  for (const path of paths) {
    const module = (await import(pathToFileURL(join(folder, path)).href)) as Readonly<Record<string, unknown>>;
    const file = fileOf(path.replace(/_pb\.js$/, ".proto").replaceAll("\\", "/"));
    assert.ok(Object.values(module).includes(file), path);
    for (const type of nestedTypes(file))
      if (type.kind === "message") for (const [named, has] of typesOf(type)) assert.equal(has, named, type.typeName);
  }
});

test("a type is the same object however one comes to it", () => {
  const listener = fileOf("envoy/config/listener/v3/listener.proto");
  assert.equal(
    listener.messages.find(({ name }) => name === "Listener"),
    ListenerSchema,
  );
  const address = ListenerSchema.fields.find(({ name }) => name === "address");
  const direct = fileOf("envoy/config/core/v3/address.proto").messages.find(({ name }) => name === "Address");
  assert.equal(address?.message, direct);
});

test("a path without a descriptor is refused by name", () => {
  assert.throws(() => fileOf("envoy/nothing.proto"), /there is no descriptor of envoy\/nothing\.proto/);
});
