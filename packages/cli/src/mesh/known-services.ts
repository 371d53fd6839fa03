import type { AnalyzeContext, KnownService } from "@weft/config/analyze/facts";
import { type ApiTarget, askApi } from "./api.ts";

interface RegistryService {
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  readonly ports?: readonly { readonly name?: string; readonly number: number; readonly protocol?: string }[];
  readonly endpointLabels?: readonly Readonly<Record<string, string>>[];
}

const toKnown = ({ hostname, namespace, ports = [], endpointLabels }: RegistryService): KnownService => ({
  hostname,
  namespace,
  ports: ports.map(({ number, name = "", protocol = "" }) => ({ number, name, protocol: protocol.toLowerCase() })),
  endpointLabels,
  external: false,
});

/**
 * The services that the running mesh knows, so that a reference to one is not taken for a mistake. Without a mesh nothing
 * is known, unless one was named: then it has to answer.
 */
export const knownServices = async (api: ApiTarget, required: boolean): Promise<AnalyzeContext> => {
  if (api.mesh === undefined && !required) return {};
  try {
    const { items } = await askApi<{ items: readonly RegistryService[] }>(api, "/v1/registry");
    const { trustDomain } = await askApi<{ trustDomain?: string }>(api, "/v1/version");
    return { services: items.map(toKnown), ...(trustDomain === undefined ? {} : { trustDomain }) };
  } catch (error) {
    if (required) throw error;
    return {};
  }
};
