/** xDS from files: a DiscoveryResponse in YAML or JSON, as Envoy reads it from `path_config_source`. */
import { createHash } from "node:crypto";
import { WeftError } from "@weft/core/error";
import { decodeResource, encodeResource, resourceSchema } from "@weft/xds/codec";
import { integersAsText } from "@weft/xds/integers-as-text";
import { checkJson, formatPath } from "@weft/xds/json-check";
import { type ResourceKind, resourceName, resourceType } from "@weft/xds/resource";
import { parseYamlText } from "../bootstrap/yaml-text.ts";
import type { ResourceOffer } from "./resource-store.ts";

/** The resources of one kind in a file. Throws WF3120 with the place of the first thing that does not fit. */
export const readFileResources = (text: string, file: string, of: ResourceKind): readonly ResourceOffer[] => {
  const { json, position } = parseYamlText(text, file);
  const resources = (json as { resources?: unknown } | null)?.resources;
  if (!Array.isArray(resources)) {
    throw new WeftError("WF3120", 'the file needs a list "resources"', { where: position([]) });
  }
  const { typeUrl } = resourceType(of);
  const names = new Set<string>();
  return resources.map((resource: unknown, index) => {
    const { "@type": type, ...written } = (resource ?? {}) as Record<string, unknown>;
    const path = ["resources", index] as const;
    if (type !== typeUrl) {
      throw new WeftError("WF3120", `@type is ${String(type)} and must be ${typeUrl}`, { where: position(path) });
    }
    const rest = integersAsText(resourceSchema(of), written);
    const [problem] = checkJson(resourceSchema(of), rest);
    if (problem) {
      const where = position([...path, ...problem.path]);
      throw new WeftError("WF3120", `${formatPath(problem.path)}: ${problem.message}`, { where });
    }
    const bytes = encodeResource(of, rest as never);
    const canonical = decodeResource(typeUrl, bytes);
    const name = resourceName(of, canonical);
    if (name === "" || names.has(name)) {
      const message = name === "" ? "a resource has no name" : `"${name}" is there twice`;
      throw new WeftError("WF3120", message, { where: position(path) });
    }
    names.add(name);
    return { name, version: createHash("sha256").update(bytes).digest("hex").slice(0, 16), json: canonical };
  });
};
