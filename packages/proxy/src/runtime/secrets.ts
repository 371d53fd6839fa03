import { createPrivateKey } from "node:crypto";
import { ConfigError } from "@weft/core/config-error";
import { certificateUris } from "@weft/net/tls/peer";
import { createTlsContext, type TlsContext, type TlsMaterial } from "@weft/net/tls/tls-material";
import type { SecretJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret";
import type { SecretSource } from "../clusters/cluster.ts";
import { compileCertificate, compileValidation } from "../clusters/tls-context.ts";
import { refuseOthers, required } from "../compile/fields.ts";

/** What a TLS context of either side is made of. */
export interface ContextInput {
  readonly certificate: SecretSource | undefined;
  readonly otherCertificates?: readonly SecretSource[];
  readonly trust: SecretSource | undefined;
  readonly revoked?: SecretSource | undefined;
  readonly minVersion: TlsMaterial["minVersion"];
  readonly maxVersion: TlsMaterial["maxVersion"];
  readonly ciphers: readonly string[];
  readonly curves?: readonly string[];
  readonly signatures?: readonly string[];
}

export type BuiltContext =
  | {
      readonly kind: "ready";
      readonly context: TlsContext;
      /** There are roots, so the peer's certificate means something. */
      readonly verifies: boolean;
      /** URI names of our own certificate. */
      readonly localUris: readonly string[];
    }
  | { readonly kind: "missing"; readonly reason: string };

interface Secret {
  readonly certificatePem?: string | undefined;
  readonly keyPem?: string | undefined;
  readonly rootsPem?: string | undefined;
  readonly revokedPem?: string | undefined;
}

export interface SecretTools {
  /** Reads a PEM file a configuration names. Throws when it cannot. */
  readonly readText: (path: string) => string;
  /** PEM of the system's roots. */
  readonly systemRoots: () => string;
}

/**
 * Named key material and the contexts made of it. A changed secret makes a new context for the handshakes after it;
 * connections that stand keep theirs.
 */
export class Secrets {
  private readonly tools: SecretTools;
  private named = new Map<string, Secret>();
  private contexts = new WeakMap<ContextInput, BuiltContext>();

  constructor(tools: SecretTools) {
    this.tools = tools;
  }

  /** Compiles a Secret resource; throws ConfigError for one that no context could be made of. */
  compile(json: SecretJson): Secret {
    refuseOthers(json, "Secret", "", ["name", "tlsCertificate", "validationContext"]);
    if (json.tlsCertificate) {
      const secret = this.read(compileCertificate(json.tlsCertificate, "tlsCertificate"));
      this.prove(secret, "tlsCertificate");
      return secret;
    }
    const context = required(json.validationContext, "validationContext");
    const { trust, sans, pins, revoked } = compileValidation(context, "validationContext");
    if (sans.length > 0 || pins !== undefined)
      throw new ConfigError("validationContext", "whom to accept is read from TLS contexts, not from secrets");
    const { rootsPem } = this.read(required(trust, "validationContext.trustedCa"));
    this.prove({ rootsPem }, "validationContext.trustedCa");
    if (revoked === undefined) return { rootsPem };
    const secret = { rootsPem, revokedPem: this.read(revoked).rootsPem };
    this.prove(secret, "validationContext.crl");
    return secret;
  }

  set(name: string, secret: Secret | undefined): void {
    if (secret === undefined) this.named.delete(name);
    else this.named.set(name, secret);
    this.contexts = new WeakMap();
  }

  /** The context of now for that side; kept until a secret changes. */
  context(input: ContextInput): BuiltContext {
    const known = this.contexts.get(input);
    if (known !== undefined) return known;
    const built = this.build(input);
    if (built.kind === "ready") this.contexts.set(input, built);
    return built;
  }

  /** Throws ConfigError for files that cannot be read or used now; secrets by name may come later. */
  checkFiles(input: ContextInput, at: string): void {
    const { certificate, otherCertificates = [], trust, revoked } = input;
    for (const source of [certificate, ...otherCertificates, trust, revoked]) {
      if (source === undefined || (source.kind === "named" && !source.name.startsWith("file:"))) continue;
      try {
        const secret = this.read(source);
        this.prove(source === revoked ? { revokedPem: secret.rootsPem } : secret, at);
      } catch (error) {
        throw error instanceof ConfigError ? error : new ConfigError(at, (error as Error).message);
      }
    }
    const isHere = (source: SecretSource): boolean => source.kind === "inline" || isRead(source.name);
    if (certificate === undefined || ![certificate, ...otherCertificates].every(isHere)) return;
    const others = this.findOthers(input, this.read(certificate));
    if (typeof others === "string") throw new ConfigError(at, others);
  }

  private build(input: ContextInput): BuiltContext {
    const certificate = this.find(input.certificate);
    if (typeof certificate === "string") return { kind: "missing", reason: certificate };
    const trust = this.find(input.trust);
    if (typeof trust === "string") return { kind: "missing", reason: trust };
    // Without its part of the material a secret would switch the check off that it is there for.
    if (input.certificate && !(certificate?.certificatePem && certificate.keyPem))
      return { kind: "missing", reason: "the secret named for our certificate has no certificate and key" };
    if (input.trust && !trust?.rootsPem) return { kind: "missing", reason: "the secret named for roots has no roots" };
    const others = this.findOthers(input, certificate);
    if (typeof others === "string") return { kind: "missing", reason: others };
    const revoked = this.find(input.revoked);
    if (typeof revoked === "string") return { kind: "missing", reason: revoked };
    const lists = [trust?.revokedPem, revoked?.rootsPem].filter((pem) => pem !== undefined);
    const { minVersion, maxVersion, ciphers, curves = [], signatures = [] } = input;
    const material: TlsMaterial = {
      others,
      revokedPem: lists.length > 0 ? lists.join("\n") : undefined,
      certificatePem: certificate?.certificatePem,
      keyPem: certificate?.keyPem,
      rootsPem: trust?.rootsPem,
      minVersion,
      maxVersion,
      ciphers,
      curves,
      signatures,
    };
    try {
      return {
        kind: "ready",
        context: createTlsContext(material),
        verifies: material.rootsPem !== undefined,
        localUris: material.certificatePem === undefined ? [] : certificateUris(material.certificatePem),
      };
    } catch (error) {
      return { kind: "missing", reason: (error as Error).message };
    }
  }

  /** Certificates beside the first; OpenSSL has a place for one of each type of key, and would drop a former one. */
  private findOthers({ otherCertificates = [] }: ContextInput, first: Secret | undefined): Others | string {
    const types = new Set([keyTypeOf(first?.keyPem ?? "")]);
    const others: { readonly certificatePem: string; readonly keyPem: string }[] = [];
    for (const source of otherCertificates) {
      const found = this.find(source);
      if (typeof found === "string") return found;
      if (!found?.certificatePem || !found.keyPem)
        return "a secret named for our certificate has no certificate and key";
      const type = keyTypeOf(found.keyPem);
      if (types.has(type)) return `two certificates have keys of the type ${type}: there may be one of each`;
      types.add(type);
      others.push({ certificatePem: found.certificatePem, keyPem: found.keyPem });
    }
    return others;
  }

  /** The material, `undefined` when none is configured, or why it is not there. */
  private find(source: SecretSource | undefined): Secret | undefined | string {
    if (source === undefined) return undefined;
    try {
      if (source.kind === "named" && !isRead(source.name)) {
        return this.named.get(source.name) ?? `secret ${source.name} is not there yet`;
      }
      return this.read(source);
    } catch (error) {
      return (error as Error).message;
    }
  }

  private read(source: SecretSource): Secret {
    if (source.kind === "inline") return source;
    if (source.name === "system") return { rootsPem: this.tools.systemRoots() };
    const [first = "", key] = source.name.slice("file:".length).split(",");
    if (key === undefined) return { rootsPem: this.readRoots(first) };
    return { certificatePem: this.tools.readText(first), keyPem: this.tools.readText(key) };
  }

  private readRoots(path: string): string {
    try {
      return this.tools.readText(path);
    } catch (error) {
      if (path === distributionRoots) return this.tools.systemRoots();
      throw error;
    }
  }

  private prove({ certificatePem, keyPem, rootsPem, revokedPem }: Secret, at: string): void {
    try {
      createTlsContext({
        certificatePem,
        keyPem,
        rootsPem,
        revokedPem,
        minVersion: "TLSv1.2",
        maxVersion: "TLSv1.3",
        ciphers: [],
      });
    } catch (error) {
      throw new ConfigError(at, (error as Error).message);
    }
  }
}

type Others = NonNullable<TlsMaterial["others"]>;

/** `rsa`, `ec` and so on; empty for what is no key, which OpenSSL says more of. */
const keyTypeOf = (pem: string): string => {
  try {
    return createPrivateKey(pem).asymmetricKeyType ?? "";
  } catch {
    return "";
  }
};

/** Where Linux distributions keep the roots of the web; other systems, and small images, have them elsewhere or not. */
const distributionRoots = "/etc/ssl/certs/ca-certificates.crt";

const isRead = (name: string): boolean => name === "system" || name.startsWith("file:");
