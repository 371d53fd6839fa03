import { WeftError } from "@weft/core/error";
import type { Context } from "../command.ts";
import type { Envelope } from "../output/print.ts";
import { type ApiFlags, askApi, findApi } from "./api.ts";
import type { DumpSource } from "./config-dump.ts";
import { matchesProxy, type ProxyItem } from "./proxies.ts";

export interface LocateFlags extends ApiFlags {
  readonly admin?: string;
}

/** Where a proxy can be asked: at the address given, or where the control plane knows it to be. */
export const locateProxy = async (context: Context, name: string, flags: LocateFlags): Promise<DumpSource> => {
  if (flags.admin !== undefined) return { admin: flags.admin, fallback: undefined };
  const target = findApi(flags, context.env);
  const { items } = await askApi<Envelope>(target, "/v1/proxies");
  const found = (items as readonly ProxyItem[]).filter((proxy) => matchesProxy(proxy, name));
  const [proxy] = found;
  if (proxy === undefined) {
    throw new WeftError("WF9025", `no connected proxy is called ${name}`, { next: "weft proxy-status" });
  }
  if (found.length > 1) {
    throw new WeftError("WF9026", `${name} means ${found.length} proxies: ${found.map(({ id }) => id).join(", ")}`, {
      next: "name one in full",
    });
  }
  const admin = proxy.metadata.WEFT_ADMIN;
  return {
    admin: typeof admin === "string" ? admin : undefined,
    fallback: () => askApi(target, `/debug/config_dump?proxyID=${encodeURIComponent(proxy.id)}`),
  };
};
