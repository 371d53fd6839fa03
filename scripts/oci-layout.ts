/** Writes an image in the layout of the Open Container Initiative: blobs by their digest, a manifest and an index. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface LayerFolder {
  /** What is in it becomes the layer's root. */
  readonly folder: string;
  /** Why it is there, for who looks at the image's history. */
  readonly about: string;
}

export interface ImageFacts {
  readonly name: string;
  readonly version: string;
  readonly architecture: "amd64" | "arm64";
  /** The program that runs. */
  readonly entrypoint: readonly string[];
  readonly user: string;
  readonly env: readonly string[];
}

interface Blob {
  readonly digest: string;
  readonly size: number;
}

const sha256 = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** Runs it, and gives what it printed. Throws with what it complained of. */
export const run = (command: string, args: readonly string[], cwd?: string): string => {
  const options = { encoding: "utf8", maxBuffer: 64 * 1024 * 1024, ...(cwd === undefined ? {} : { cwd }) } as const;
  const { status, stdout, stderr, error } = spawnSync(command, [...args], options);
  if (status === 0) return stdout;
  throw new Error(`${command} ${args[0] ?? ""} failed: ${error?.message ?? stderr.split("\n").slice(-10).join("\n")}`);
};

/** Files of the same content give the same bytes: order, owners and times are fixed. */
const tarOf = (folder: string, out: string): void => {
  const fixed = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--format=posix"];
  const times = "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime";
  run("tar", [...fixed, times, "-C", folder, "-cf", out, "."]);
};

/** Writes the layout into the folder, which must not be there, and gives the manifest's digest. */
export const writeOciLayout = (folder: string, layers: readonly LayerFolder[], facts: ImageFacts): string => {
  const blobs = join(folder, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const keep = (bytes: Buffer): Blob => {
    const digest = sha256(bytes);
    writeFileSync(join(blobs, digest.slice("sha256:".length)), bytes);
    return { digest, size: bytes.length };
  };
  const keepJson = (value: unknown): Blob => keep(Buffer.from(JSON.stringify(value)));
  const packed = layers.map(({ folder: from, about }) => {
    const tar = join(folder, "layer.tar");
    tarOf(from, tar);
    const diffId = sha256(readFileSync(tar));
    run("gzip", ["-n", "-6", tar]);
    const digest = sha256(readFileSync(`${tar}.gz`));
    const { size } = statSync(`${tar}.gz`);
    renameSync(`${tar}.gz`, join(blobs, digest.slice("sha256:".length)));
    rmSync(tar, { force: true });
    return { digest, size, diffId, about };
  });
  const config = keepJson({
    ...{ architecture: facts.architecture, os: "linux", created: "1970-01-01T00:00:00Z" },
    config: { User: facts.user, Env: facts.env, Entrypoint: facts.entrypoint, WorkingDir: "/" },
    rootfs: { type: "layers", diff_ids: packed.map(({ diffId }) => diffId) },
    history: packed.map(({ about }) => ({ created: "1970-01-01T00:00:00Z", created_by: about })),
  });
  const mediaType = (name: string): string => `application/vnd.oci.image.${name}`;
  const manifest = keepJson({
    ...{ schemaVersion: 2, mediaType: mediaType("manifest.v1+json") },
    config: { mediaType: mediaType("config.v1+json"), ...config },
    layers: packed.map(({ digest, size }) => ({ mediaType: mediaType("layer.v1.tar+gzip"), digest, size })),
  });
  const platform = { architecture: facts.architecture, os: "linux" };
  const annotations = { "org.opencontainers.image.ref.name": `${facts.name}:${facts.version}` };
  const index = {
    ...{ schemaVersion: 2, mediaType: mediaType("index.v1+json") },
    manifests: [{ mediaType: mediaType("manifest.v1+json"), ...manifest, platform, annotations }],
  };
  writeFileSync(join(folder, "index.json"), JSON.stringify(index));
  writeFileSync(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  return manifest.digest;
};
