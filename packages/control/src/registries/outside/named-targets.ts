/** What the `--register-into` flags ask for: each URL with its name, its driver's writer and the namespaces it gets. */
import { WeftError } from "@weft/core/error";
import type { Driver } from "./driver.ts";
import { type FindCredentials, nameFor } from "./named-registries.ts";
import { parseRegistryUrl, type RegistryUrl, wrongUrl } from "./registry-url.ts";
import type { OpenWriter } from "./write-session.ts";

export interface NamedTarget {
  readonly name: string;
  readonly url: string;
  /** Only of these; none: of all. */
  readonly namespaces: readonly string[];
  readonly open: OpenWriter;
}

export const targetsMax = 8;
const namespacesOption = "of-namespaces";

/**
 * Throws WF2101 for a scheme nobody can write to and WF2102 for a wrong URL. `files` are those of the credentials by
 * name: a target has the name, and with it the credentials, that a registry of the same URL would have.
 */
export const nameTargets = (
  urls: readonly string[],
  files: ReadonlyMap<string, string>,
  drivers: readonly Driver[],
  find: FindCredentials,
): readonly NamedTarget[] => {
  const named = new Map<string, NamedTarget>();
  for (const text of urls) {
    const url = parseRegistryUrl(text);
    const driver = drivers.find(({ scheme }) => scheme === url.scheme);
    if (!driver?.write) throw unwritable(url, drivers);
    const name = nameFor(url, named);
    const options = new Map(url.options);
    for (const own of ["name", namespacesOption]) options.delete(own);
    named.set(name, {
      ...{ name, url: text, namespaces: namespacesIn(url) },
      open: driver.write({ ...url, options }, find(name, files.get(name))),
    });
    if (named.size > targetsMax) throw wrongUrl(text, `is more than ${targetsMax} registries to write into`);
  }
  return [...named.values()];
};

const unwritable = ({ scheme }: RegistryUrl, drivers: readonly Driver[]): WeftError => {
  const usages = drivers.filter(({ write }) => write).map(({ usage }) => usage);
  return new WeftError("WF2101", `nothing can be registered into a registry of the kind ${scheme}`, {
    next: `use one of ${usages.join("  ")}`,
  });
};

const namespacesIn = ({ text, options }: RegistryUrl): readonly string[] => {
  const given = options.get(namespacesOption);
  if (given === undefined) return [];
  const namespaces = given.split(",");
  if (namespaces.every((one) => /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(one))) return namespaces;
  throw wrongUrl(text, `has ${namespacesOption} that is not a list of namespaces`);
};
