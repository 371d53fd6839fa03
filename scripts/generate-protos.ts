/**
 * Generates packages/xds/gen from the API files in @grpc/grpc-js-xds and our own in packages/xds/proto: a module and
 * its types for each file, and descriptors.js with the descriptors of all. Run at set-up; nothing of it is committed.
 */
import { execFileSync } from "node:child_process";
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { create, type DescFile, fromBinary, toBinary } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import * as wellKnown from "@bufbuild/protobuf/wkt";
import {
  type DescriptorProto,
  DescriptorProtoSchema,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";

const root = join(import.meta.dirname, "..");
const deps = join(root, "node_modules/@grpc/grpc-js-xds/deps");
const target = join(root, "packages/xds/gen");

/** Only version 3 of the API is spoken; files that import formats their package does not ship cannot compile. */
const isUnwanted = (path: string, text: string): boolean =>
  /^envoy\/(api|config|service|data)\/(.*\/)?v2(alpha\d*)?\//.test(path) ||
  /^envoy\/(api\/v2|config\/filter)\//.test(path) ||
  /^import "(opentelemetry|io\/prometheus|opencensus)\//m.test(text);

const roots = [
  ["envoy-api", "envoy"],
  ["xds", "xds"],
  ["xds", "udpa"],
  ["googleapis", "google/rpc"],
  ["googleapis", "google/api"],
] as const;

/** Options are for other programs; left out, most files need fewer others. */
const dropOptions = (message: DescriptorProto): void => {
  if (!message.options?.mapEntry) delete message.options;
  for (const item of [...message.oneofDecl, ...message.extensionRange, ...message.enumType]) delete item.options;
  for (const item of [...message.field, ...message.extension]) if (!item.options?.packed) delete item.options;
  for (const item of message.enumType.flatMap(({ value }) => value)) delete item.options;
  message.nestedType.forEach(dropOptions);
};

interface Names {
  readonly declared: Set<string>;
  readonly used: Set<string>;
}

const collectNames = (message: DescriptorProto, scope: string, names: Names): void => {
  const { declared, used } = names;
  for (const { name } of message.enumType) declared.add(`${scope}.${name}`);
  for (const { typeName, extendee } of [...message.field, ...message.extension]) used.add(typeName).add(extendee);
  for (const nested of message.nestedType) {
    declared.add(`${scope}.${nested.name}`);
    collectNames(nested, `${scope}.${nested.name}`, names);
  }
};

/** A file's types without their options, and the names it declares and uses. */
const readDescriptor = (base64: string): { readonly file: FileDescriptorProto } & Names => {
  const file = fromBinary(FileDescriptorProtoSchema, Buffer.from(base64, "base64"));
  const names: Names = { declared: new Set(), used: new Set() };
  const { messageType: nestedType, enumType, extension } = file;
  const top = create(DescriptorProtoSchema, { nestedType, enumType, extension });
  dropOptions(top);
  collectNames(top, `.${file.package}`, names);
  delete file.options;
  for (const service of file.service) {
    delete service.options;
    for (const method of service.method) {
      delete method.options;
      names.used.add(method.inputType).add(method.outputType);
    }
  }
  return { file, ...names };
};

const wellKnownFiles: readonly (readonly [variable: string, file: DescFile])[] = Object.entries(wellKnown).flatMap(
  ([name, value]) => (name.startsWith("file_") ? [[name, value as DescFile] as const] : []),
);

const descriptorCall = /fileDesc\("([^"]*)"(?:, \[[^\]]*\])?\)/;

/**
 * Moves every descriptor into one module, which reads a file's when it is first asked for. As generated, each module
 * loads those of all its imports and walks all that they import in turn, which costs every process at its start.
 */
const gatherDescriptors = (folder: string): number => {
  const paths = globSync("**/*_pb.js", { cwd: folder }).sort();
  const homes = new Map(
    wellKnownFiles.flatMap(([, file]) => [...nestedTypes(file)].map((type) => [`.${type.typeName}`, file.proto.name])),
  );
  const found = paths.map((path) => {
    const text = readFileSync(join(folder, path), "utf8");
    const { file, declared, used } = readDescriptor(descriptorCall.exec(text)?.[1] ?? "");
    for (const name of declared) homes.set(name, file.name);
    const top = relative(dirname(path), "descriptors.js");
    const module = text
      .replaceAll(/^import \{ file_.*\n/gm, "")
      .replace(descriptorCall, `fileOf(${JSON.stringify(file.name)})`)
      .replace(
        /^import .*\n/m,
        (line) => `${line}import { fileOf } from "${top.startsWith(".") ? top : `./${top}`}";\n`,
      );
    writeFileSync(join(folder, path), module);
    return { file, used };
  });
  const rows = found.map(({ file, used }) => {
    const imports = new Set([...used].filter((name) => name !== "").map((name) => homes.get(name) ?? name));
    imports.delete(file.name);
    const bytes = Buffer.from(toBinary(FileDescriptorProtoSchema, file)).toString("base64");
    return `  [${JSON.stringify(file.name)}, ["${bytes}", ${JSON.stringify([...imports])}]],\n`;
  });
  writeFileSync(join(folder, "descriptors.js"), descriptorsModule(rows));
  writeFileSync(join(folder, "descriptors.d.ts"), descriptorsTypes);
  return paths.length;
};

const descriptorsTypes = `import type { DescFile } from "@bufbuild/protobuf";
/** The descriptor of a .proto file, by its path. Throws an Error for a path that there is not. */
export declare const fileOf: (path: string) => DescFile;
`;

const descriptorsModule = (rows: readonly string[]): string => `import { fileDesc } from "@bufbuild/protobuf/codegenv2";
import {
${wellKnownFiles.map(([variable]) => `  ${variable},\n`).join("")}} from "@bufbuild/protobuf/wkt";

const sources = new Map([
${rows.join("")}]);
const files = new Map([
${wellKnownFiles.map(([variable, file]) => `  ["${file.proto.name}", ${variable}],\n`).join("")}]);

export const fileOf = (path) => {
  const known = files.get(path);
  if (known !== undefined) return known;
  const source = sources.get(path);
  if (source === undefined) throw new Error(\`there is no descriptor of \${path}\`);
  const file = fileDesc(source[0], source[1].map(fileOf));
  // Its list holds every file with a type it uses, so none has to be walked through for another.
  file.dependencies = [];
  files.set(path, file);
  return file;
};
`;

const work = mkdtempSync(join(tmpdir(), "weft-protos-"));
try {
  const source = join(work, "proto");
  for (const [base, folder] of roots) {
    for (const path of globSync(`${folder}/**/*.proto`, { cwd: join(deps, base) })) {
      const text = readFileSync(join(deps, base, path), "utf8");
      if (isUnwanted(path, text)) continue;
      if (folder === "google/api" && !/expr\/v1alpha1|annotations|http\.proto/.test(path)) continue;
      mkdirSync(dirname(join(source, path)), { recursive: true });
      writeFileSync(join(source, path), text.replace(/^import public "[^"]*opencensus\.proto";$/m, ""));
    }
  }
  for (const path of globSync("**/*.proto", { cwd: join(root, "packages/xds/proto") })) {
    mkdirSync(dirname(join(source, path)), { recursive: true });
    cpSync(join(root, "packages/xds/proto", path), join(source, path));
  }
  writeFileSync(join(work, "buf.yaml"), "version: v2\nmodules:\n  - path: proto\n");
  writeFileSync(
    join(work, "buf.gen.yaml"),
    `version: v2
plugins:
  - local: ["${process.execPath}", "${join(root, "node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es")}"]
    out: gen
    strategy: all
    opt: [target=js+dts, import_extension=js, json_types=true]
`,
  );
  const cpu = `${process.platform}-${process.arch === "arm64" && process.platform === "linux" ? "aarch64" : process.arch}`;
  const buf = join(root, `node_modules/@bufbuild/buf-${cpu}/bin/buf`);
  execFileSync(buf, ["generate"], {
    cwd: work,
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, BUF_CACHE_DIR: work },
  });
  const out = join(work, "gen");
  const count = gatherDescriptors(out);
  rmSync(target, { recursive: true, force: true });
  cpSync(out, `${target}.new`, { recursive: true });
  renameSync(`${target}.new`, target);
  process.stderr.write(`weft: generated ${count} protobuf files into ${relative(root, target)}\n`);
} finally {
  rmSync(work, { recursive: true, force: true });
}
