/** Leaves values for others as dynamic metadata of the request. */
import { ConfigError } from "@weft/core/config-error";
import type { ConfigJson } from "@weft/xds/gen/envoy/extensions/filters/http/set_metadata/v3/set_metadata";
import { refuseOthers, required } from "../../compile/fields.ts";
import { addMetadata } from "../../http/request-state.ts";
import type { HttpFilterKind } from "./filter.ts";

interface Write {
  readonly namespace: string;
  readonly values: Readonly<Record<string, unknown>>;
  readonly overwrite: boolean;
}

const compileWrites = (json: ConfigJson): readonly Write[] => {
  refuseOthers(json, "SetMetadata", "", ["metadataNamespace", "value", "metadata"]);
  const writes: Write[] = [];
  // The older form merges into what is there.
  if (json.metadataNamespace)
    writes.push({ namespace: json.metadataNamespace, values: json.value ?? {}, overwrite: true });
  for (const [index, each] of (json.metadata ?? []).entries()) {
    const at = `metadata[${index}]`;
    refuseOthers(each, "SetMetadataEntry", at, ["metadataNamespace", "allowOverwrite", "value"]);
    if (!each.value) throw new ConfigError(`${at}.value`, "is required");
    const namespace = required(each.metadataNamespace, `${at}.metadataNamespace`);
    writes.push({ namespace, values: each.value, overwrite: each.allowOverwrite === true });
  }
  return writes;
};

export const setMetadata: HttpFilterKind = {
  name: "envoy.filters.http.set_metadata",
  typeName: "envoy.extensions.filters.http.set_metadata.v3.Config",
  configure(raw) {
    const writes = compileWrites(raw as ConfigJson);
    return () => ({
      onRequest(exchange) {
        for (const { namespace, values, overwrite } of writes) addMetadata(exchange, namespace, values, overwrite);
        return undefined;
      },
    });
  },
};
