/** The image that is built without a container engine: what it says of itself is so, and what is in it runs. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { buildImage } from "../scripts/build-image.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-test-image-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const [layout, rootfs] = [join(folder, "layout"), join(folder, "rootfs")];

interface Descriptor {
  readonly digest: string;
  readonly size: number;
  readonly mediaType: string;
}
const read = (path: string): Buffer => readFileSync(join(layout, path));
/** The blob, which must be what its name says. */
const blob = ({ digest, size }: Pick<Descriptor, "digest" | "size">): Buffer => {
  const bytes = read(`blobs/sha256/${digest.replace("sha256:", "")}`);
  assert.equal(`sha256:${createHash("sha256").update(bytes).digest("hex")}`, digest);
  assert.equal(bytes.length, size);
  return bytes;
};
const unpack = (archive: string | Buffer, to: string): void => {
  mkdirSync(to, { recursive: true });
  const given = typeof archive === "string" ? { args: [archive] } : { args: ["-"], input: archive };
  const { status, stderr } = spawnSync("tar", ["-C", to, "-xf", ...given.args], { input: given.input });
  assert.equal(status, 0, String(stderr));
};
/** Within the image, as the user that its containers are. */
const inImage = (command: string, ...args: readonly string[]): string => {
  const all = ["--userspec", "1337:1337", rootfs, command, ...args];
  const { status, stdout, stderr } = spawnSync("chroot", all, {
    encoding: "utf8",
    env: { PATH: "/usr/local/bin:/usr/sbin:/usr/bin" },
  });
  assert.equal(status, 0, `${command}: ${stderr}`);
  return stdout;
};

const podText = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: app, image: a}]}}";

test("an archive is an image of three layers with the digests it names, and its programs run", {
  timeout: 300_000,
}, (t) => {
  if (!process.env.WEFT_TEST_IMAGE) return t.skip("it downloads and packs 70 MB: set WEFT_TEST_IMAGE=1");
  if (process.getuid?.() !== 0) return t.skip("only root can look into an image from within");
  if (spawnSync("apt-get", ["--version"]).status !== 0) return t.skip("Debian's packages come by apt-get");
  const archive = join(folder, "image.tar");
  const digest = buildImage(archive);
  unpack(archive, layout);
  assert.deepEqual(JSON.parse(read("oci-layout").toString()), { imageLayoutVersion: "1.0.0" });
  const { manifests } = JSON.parse(read("index.json").toString()) as { readonly manifests: readonly [Descriptor] };
  assert.equal(manifests[0].digest, digest);
  const manifest = JSON.parse(blob(manifests[0]).toString()) as {
    readonly config: Descriptor;
    readonly layers: readonly Descriptor[];
  };
  const { config, rootfs: told } = JSON.parse(blob(manifest.config).toString()) as {
    readonly config: { readonly User: string; readonly Entrypoint: readonly string[]; readonly Env: readonly string[] };
    readonly rootfs: { readonly diff_ids: readonly string[] };
  };
  assert.deepEqual([config.User, config.Entrypoint, manifest.layers.length], ["1337:1337", ["weft"], 3]);
  for (const [at, layer] of manifest.layers.entries()) {
    const tar = gunzipSync(blob(layer));
    assert.equal(`sha256:${createHash("sha256").update(tar).digest("hex")}`, told.diff_ids[at]);
    unpack(tar, rootfs);
  }
  const version = (JSON.parse(readFileSync("package.json", "utf8")) as { readonly version: string }).version;
  assert.match(inImage("weft", "--version"), new RegExp(version.replaceAll(".", "\\.")));
  assert.match(inImage("weft", "inject", "--help"), /--values/);
  assert.match(inImage("curl", "--version"), /^curl \d/);
  assert.match(inImage("netstat", "--version"), /net-tools/);
  assert.match(inImage("iptables", "--version"), /^iptables v/);
  assert.match(inImage("ip", "-V"), /iproute2/);
  assert.equal(inImage("id", "-un").trim(), "istio-proxy");
  assert.match(inImage("sh", "-c", "head -1 /etc/ssl/certs/ca-certificates.crt"), /BEGIN CERTIFICATE/);
  // Enough of it for a control plane that takes a pod.
  const injected = inImage("sh", "-c", "printf '%s' \"$0\" | weft inject -f -", podText);
  assert.match(injected, /name: istio-proxy/);
});
