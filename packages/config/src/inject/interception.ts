/** The init container that redirects a pod's connections into its proxy. */
import { injectCodes, type TakeNote } from "./inject-note.ts";
import type { JsonObject } from "./json-values.ts";
import type { ProxySettings } from "./proxy-settings.ts";

export const interceptContainerName = "istio-init";
/** User and group of the proxy, whose own connections are never intercepted. */
export const proxyId = 1337;

/** The proxy's own ports, which answer by themselves. */
const ownPorts = ["15090", "15021", "15020"];

export const capturesNames = (settings: ProxySettings): boolean =>
  settings.env.get("ISTIO_META_DNS_CAPTURE") === "true";

/** The container's arguments for `weft`; nothing where the pod is not intercepted. */
export const interceptContainer = (settings: ProxySettings, takeNote: TakeNote): JsonObject | undefined => {
  if (settings.interception === "NONE") return undefined;
  const { include, exclude, statusPort } = settings;
  const inboundLeft = new Set([...ownPorts, String(statusPort), ...exclude.inboundPorts.split(",")].filter(Boolean));
  return {
    name: interceptContainerName,
    image: settings.image,
    ...(settings.imagePullPolicy === undefined ? {} : { imagePullPolicy: settings.imagePullPolicy }),
    args: [
      ...["intercept", "apply", "--mode", settings.interception.toLowerCase()],
      ...["--outbound-port", "15001", "--inbound-port", "15006"],
      ...["--proxy-uids", String(proxyId), "--proxy-gids", String(proxyId)],
      ...outboundArguments(settings, takeNote),
      ...["--exclude-cidrs", exclude.cidrs, "--exclude-ports", exclude.outboundPorts],
      ...["--include-inbound-ports", include.inboundPorts],
      ...["--exclude-inbound-ports", [...inboundLeft].filter((port) => port !== "0").join(",")],
      ...(capturesNames(settings) ? ["--dns"] : []),
    ],
    resources: settings.initResources,
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { add: ["NET_ADMIN", "NET_RAW"], drop: ["ALL"] },
      privileged: false,
      readOnlyRootFilesystem: false,
      runAsGroup: 0,
      runAsNonRoot: false,
      runAsUser: 0,
    },
  };
};

/** Istio's ports are taken beside the CIDRs, ours within them: both together are the ports only where one is "none". */
const outboundArguments = ({ include }: ProxySettings, takeNote: TakeNote): readonly string[] => {
  const { cidrs, outboundPorts: ports } = include;
  if (ports === "" || cidrs === "*") return ["--include-cidrs", cidrs, "--include-ports", "*"];
  if (cidrs === "") return ["--include-cidrs", "*", "--include-ports", ports];
  takeNote({
    code: injectCodes.withoutEffect,
    level: "warning",
    message: "ports beside CIDRs cannot be intercepted: the CIDRs alone are",
    path: ["metadata", "annotations", "traffic.sidecar.istio.io/includeOutboundPorts"],
  });
  return ["--include-cidrs", cidrs, "--include-ports", "*"];
};
