/**
 * Makes the image of the control plane and of every sidecar without a container engine: Debian's packages, Node, weft.
 *
 *   ./scripts/with-node scripts/build-image.ts weft-image.tar      # an OCI archive, to be loaded or pushed
 *
 * It needs Debian's apt-get and dpkg-deb, whose package lists are read (`apt-get update`), and no rights beyond a user's.
 */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { controlPlaneNodeFlags, otherNodeFlags, sidecarNodeFlags } from "@weft/net/process/node-flags";
import { run, writeOciLayout } from "./oci-layout.ts";

const root = join(import.meta.dirname, "..");

/** What people look for in a sidecar's container, and what interception needs. */
const debianPackages = "ca-certificates coreutils curl dash iproute2 iptables libatomic1 libstdc++6 net-tools".split(
  " ",
);
/** What weft imports when it runs. */
const nodePackages = ["@bufbuild/protobuf", "@koromix", "commander", "koffi", "re2js", "yaml"];

/** The links that stand for folders stay links. */
const extract = 'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink --no-same-owner -C "$2"';

/** With all they depend on, whatever this machine has of them already. */
const debianLayer = (folder: string, scratch: string): void => {
  const archives = join(scratch, "archives");
  mkdirSync(join(archives, "partial"), { recursive: true });
  const status = join(scratch, "status");
  writeFileSync(status, "");
  const places = ["-o", `Dir::State::status=${status}`, "-o", `Dir::Cache::archives=${archives}`];
  const locks = ["-o", "Debug::NoLocking=1", "-o", `Dir::Cache::pkgcache=${scratch}/pkgcache.bin`];
  const quiet = ["-qq", "-y", "--download-only", "--no-install-recommends", "-o", "APT::Sandbox::User="];
  run("apt-get", [...quiet, ...places, ...locks, "install", ...debianPackages]);
  // As every Debian is laid out; the packages rely on it.
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    mkdirSync(join(folder, "usr", name), { recursive: true });
    symlinkSync(`usr/${name}`, join(folder, name));
  }
  for (const file of readdirSync(archives).filter((name) => name.endsWith(".deb")))
    run("sh", ["-c", extract, "sh", join(archives, file), folder]);
  for (const bulk of ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"])
    rmSync(join(folder, bulk), { recursive: true, force: true });
  afterInstall(folder);
};

/** What the packages' own scripts would do. */
const afterInstall = (folder: string): void => {
  const link = (target: string, name: string): void => {
    const path = join(folder, name);
    if (!existsSync(path)) symlinkSync(target, path);
  };
  for (const name of ["iptables", "ip6tables"])
    for (const ending of ["", "-save", "-restore"]) link("xtables-nft-multi", `usr/sbin/${name}${ending}`);
  link("dash", "usr/bin/sh");
  const authorities = join(folder, "usr/share/ca-certificates/mozilla");
  const pem = readdirSync(authorities)
    .sort()
    .map((name) => readFileSync(join(authorities, name), "utf8").trim());
  mkdirSync(join(folder, "etc/ssl/certs"), { recursive: true });
  writeFileSync(join(folder, "etc/ssl/certs/ca-certificates.crt"), `${pem.join("\n")}\n`);
  const users = [
    "root:x:0:0:root:/root:/bin/sh",
    "istio-proxy:x:1337:1337::/:/bin/sh",
    "nobody:x:65534:65534::/:/bin/sh",
  ];
  writeFileSync(join(folder, "etc/passwd"), `${users.join("\n")}\n`);
  writeFileSync(join(folder, "etc/group"), "root:x:0:\nistio-proxy:x:1337:\nnogroup:x:65534:\n");
  for (const name of ["tmp", "proc", "sys", "dev", "run"]) mkdirSync(join(folder, name), { recursive: true });
  chmodSync(join(folder, "tmp"), 0o1777);
};

const nodeLayer = (folder: string): void => {
  const to = join(folder, "usr/local/bin");
  mkdirSync(to, { recursive: true });
  cpSync(process.execPath, join(to, "node"));
};

const launcher = `#!/bin/sh
case "\${1:-}" in
  sidecar | agent | pod) flags="${sidecarNodeFlags.join(" ")}" ;;
  cp) flags="${controlPlaneNodeFlags.join(" ")}" ;;
  *) flags="${otherNodeFlags.join(" ")}" ;;
esac
exec /usr/local/bin/node $flags /opt/weft/packages/cli/src/bin/weft.ts "$@"
`;

const weftLayer = (folder: string): void => {
  const home = join(folder, "opt/weft");
  const wanted = (path: string): boolean => !/\.test\.ts$|\/testing(\/|$)/.test(path);
  mkdirSync(join(home, "node_modules/@weft"), { recursive: true });
  for (const name of readdirSync(join(root, "packages")).filter((one) => one !== "testkit")) {
    cpSync(join(root, "packages", name), join(home, "packages", name), { recursive: true, filter: wanted });
    symlinkSync(`../../packages/${name}`, join(home, "node_modules/@weft", name));
  }
  for (const name of nodePackages)
    cpSync(join(root, "node_modules", name), join(home, "node_modules", name), { recursive: true });
  for (const name of ["package.json", "LICENSE", "NOTICE"])
    if (existsSync(join(root, name))) cpSync(join(root, name), join(home, name));
  const bin = join(folder, "usr/local/bin");
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, "weft"), launcher);
  chmodSync(join(bin, "weft"), 0o755);
};

/** Writes the archive; gives the digest of the image in it. */
export const buildImage = (out: string): string => {
  const scratch = mkdtempSync(join(tmpdir(), "weft-image-"));
  try {
    const folderOf = (name: string): string => {
      const folder = join(scratch, name);
      mkdirSync(folder);
      return folder;
    };
    const [debian, node, weft] = [folderOf("debian"), folderOf("node"), folderOf("weft")];
    debianLayer(debian, scratch);
    nodeLayer(node);
    weftLayer(weft);
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly version: string };
    const layers = [
      { folder: debian, about: `Debian: ${debianPackages.join(" ")}` },
      { folder: node, about: `Node ${process.versions.node}` },
      { folder: weft, about: `weft ${version}` },
    ];
    const layout = join(scratch, "layout");
    const digest = writeOciLayout(layout, layers, {
      ...{ name: "weft", version, architecture: process.arch === "arm64" ? "arm64" : "amd64" },
      ...{ entrypoint: ["weft"], user: "1337:1337" },
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    });
    run("tar", ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "-C", layout, "-cf", resolve(out), "."]);
    return digest;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
};

if (import.meta.main) {
  const [out = "weft-image.tar"] = process.argv.slice(2);
  process.stdout.write(`${out} ${buildImage(out)}\n`);
}
