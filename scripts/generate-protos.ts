/**
 * Generates packages/xds/gen from the API files in @grpc/grpc-js-xds and our own in packages/xds/proto.
 * Run at set-up; nothing of the result is committed.
 */
import { execFileSync } from "node:child_process";
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";

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
    opt: [target=ts, import_extension=ts, erasable_syntax=true, json_types=true]
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
  const count = globSync("**/*_pb.ts", { cwd: out }).length;
  rmSync(target, { recursive: true, force: true });
  cpSync(out, `${target}.new`, { recursive: true });
  renameSync(`${target}.new`, target);
  process.stderr.write(`weft: generated ${count} protobuf files into ${relative(root, target)}\n`);
} finally {
  rmSync(work, { recursive: true, force: true });
}
