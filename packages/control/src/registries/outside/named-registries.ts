/** What the `--registry` flags ask for: each URL with its name, its driver and the file with its credentials. */
import { WeftError } from "@weft/core/error";
import type { Driver, SourceCredentials } from "./driver.ts";
import { parseRegistryUrl, type RegistryUrl, refuseSecrets, wrongUrl } from "./registry-url.ts";
import type { OpenSource } from "./source-events.ts";

export interface NamedRegistry {
  /** Shown as the source of its services, and the name of its file on disk. */
  readonly name: string;
  readonly url: string;
  /** Scheme, path and options without the addresses: what tells one registry's content from another's. */
  readonly content: string;
  readonly open: OpenSource;
}

export interface RegistryFlags {
  readonly urls: readonly string[];
  /** `NAME=FILE`, each. */
  readonly credentials: readonly string[];
  /** Names that credentials may be for beside those of `urls`. */
  readonly others?: readonly string[];
}

export const registriesMax = 16;

/** Reads a file with `USER:PASSWORD`, or the environment, by the registry's name; `undefined` where neither has it. */
export type FindCredentials = (name: string, file: string | undefined) => (() => SourceCredentials) | undefined;

/** weft's own registry: always there, so naming it changes nothing. */
const embeddedScheme = "embedded";

/** Throws WF2101 for a scheme nobody knows, WF2102 for a wrong URL, WF2103 for credentials of no registry. */
export const nameRegistries = (
  { urls, credentials, others = [] }: RegistryFlags,
  drivers: readonly Driver[],
  find: FindCredentials,
): readonly NamedRegistry[] => {
  const files = credentialFiles(credentials);
  const named = new Map<string, NamedRegistry>();
  for (const text of urls) {
    const driver = driverFor(text, drivers);
    const url = parseRegistryUrl(text);
    if (!driver) {
      const { addresses, path, options } = url;
      if (addresses.length > 0 || path !== "" || options.size > 0)
        throw wrongUrl(text, "says more than embedded:, which has no address, path or option");
      continue;
    }
    const name = nameFor(url, named);
    const { name: _, ...options } = Object.fromEntries(url.options);
    const own: RegistryUrl = { ...url, options: new Map(Object.entries(options)) };
    named.set(name, {
      name,
      url: text,
      content: `${url.scheme}:${url.path}?${new URLSearchParams(options)}`,
      open: driver.open(own, find(name, files.get(name))),
    });
    if (named.size > registriesMax) throw wrongUrl(text, `is more than ${registriesMax} registries`);
  }
  for (const name of files.keys()) {
    if (named.has(name) || others.includes(name)) continue;
    throw new WeftError("WF2103", `--registry-credentials names ${name}, which is no registry`, {
      next: named.size === 0 ? "name one with --registry" : `name one of ${[...named.keys()].join(", ")}`,
    });
  }
  return [...named.values()];
};

/** `undefined` for weft's own registry, and for what has no scheme. Throws WF2101 for a scheme nobody knows. */
const driverFor = (text: string, drivers: readonly Driver[]): Driver | undefined => {
  refuseSecrets(text);
  const wanted = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase();
  const driver = drivers.find(({ scheme }) => scheme === wanted);
  if (driver || wanted === undefined || wanted === embeddedScheme) return driver;
  const others = ["kubernetes://?kubeconfig=FILE&context=C", "file:///FOLDER", `${embeddedScheme}:`];
  throw new WeftError("WF2101", `there is no registry of the kind ${wanted.slice(0, 32)}`, {
    next: `use one of ${[...drivers.map(({ usage }) => usage), ...others].join("  ")}`,
  });
};

/** The scheme, with a number from the second on, unless the URL says `name=`. */
export const nameFor = ({ text, scheme, options }: RegistryUrl, taken: ReadonlyMap<string, unknown>): string => {
  const given = options.get("name");
  if (given !== undefined) {
    if (!/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/.test(given))
      throw wrongUrl(text, `has the name "${given}", which is not 1 to 32 small letters, digits and dashes`);
    if (taken.has(given)) throw wrongUrl(text, `has the name ${given}, which another registry has`);
    return given;
  }
  let name = scheme;
  for (let number = 2; taken.has(name); number++) name = `${scheme}-${number}`;
  return name;
};

/** Files by name. Throws WF2103 for what is not `NAME=FILE`. */
export const credentialFiles = (flags: readonly string[]): ReadonlyMap<string, string> =>
  new Map(
    flags.map((flag): [string, string] => {
      const at = flag.indexOf("=");
      if (at > 0) return [flag.slice(0, at), flag.slice(at + 1)];
      throw new WeftError("WF2103", "--registry-credentials is not NAME=FILE", {
        next: "write the registry's name, =, and a file that holds USER:PASSWORD",
      });
    }),
  );

/** `USER:PASSWORD`, as a file or the environment holds it. Throws WF2103, which never shows the text. */
export const parseCredentials = (text: string, from: string): SourceCredentials => {
  const line = text.replace(/\r?\n$/, "");
  const at = line.indexOf(":");
  if (at > 0 && !line.includes("\n")) return { username: line.slice(0, at), password: line.slice(at + 1) };
  throw new WeftError("WF2103", `${from} does not hold credentials`, { next: "write one line USER:PASSWORD" });
};
