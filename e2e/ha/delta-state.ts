/** What a control plane sends one proxy over delta discovery, byte for byte. */

import { testNode } from "@weft/control/testing/ads-client";
import { parseAddress } from "@weft/core/address";
import { createGrpcChannel } from "@weft/net/grpc/client";
import { adsDeltaPath, decodeDeltaResponse, encodeDeltaRequest } from "@weft/xds/discovery";
import { resourceType } from "@weft/xds/resource";

export interface DeltaState {
  /** By type and name: version and bytes. */
  readonly resources: ReadonlyMap<string, { readonly version: string; readonly hex: string }>;
  /** Of all responses. */
  readonly bytes: number;
}

const kinds = ["cluster", "listener"] as const;

/**
 * As our sidecar, subscribes to all clusters and listeners, and to the endpoints of the clusters named; resolves when some
 * of each kind came. With `known` it says what it has already, as after a reconnect, and what is not sent again is not waited for
 * longer than a marker: an endpoint subscription that it does not have.
 */
export const deltaState = async (
  xds: string,
  endpointsOf: readonly string[],
  known: DeltaState["resources"] = new Map(),
): Promise<DeltaState> => {
  const address = parseAddress(xds);
  if (!address) throw new Error(`${xds} is no address`);
  using channel = createGrpcChannel({ target: { kind: "tcp", ...address } });
  const resources = new Map<string, { version: string; hex: string }>();
  let bytes = 0;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const pending = new Set<string>([...kinds, "endpoints"].map((kind) => resourceType(kind as "cluster").typeUrl));
  const stream = channel.open(
    { path: adsDeltaPath },
    {
      onMessage: (message) => {
        bytes += message.length;
        const { typeUrl, nonce, resources: given } = decodeDeltaResponse(message);
        for (const { name, version, value } of given)
          resources.set(`${typeUrl} ${name}`, { version, hex: Buffer.from(value ?? []).toString("hex") });
        if (given.length > 0 || known.size > 0) pending.delete(typeUrl);
        stream.send(
          encodeDeltaRequest({
            ...{ node: undefined, typeUrl, responseNonce: nonce, errorDetail: undefined },
            ...{ subscribe: [], unsubscribe: [], initialVersions: new Map() },
          }),
        );
        if (pending.size === 0) resolve();
      },
      onEnd: (error) => reject(error ?? new Error("ended")),
    },
  );
  const ask = (kind: "cluster" | "listener" | "endpoints", names: readonly string[]): void => {
    const { typeUrl } = resourceType(kind);
    const own = [...known].flatMap(([key, { version }]) =>
      key.startsWith(`${typeUrl} `) ? [[key.slice(typeUrl.length + 1), version] as const] : [],
    );
    if (own.length > 0) pending.delete(typeUrl);
    stream.send(
      encodeDeltaRequest({
        ...{ node: testNode({ WEFT_VERSION: "0.1.0" }), typeUrl, responseNonce: "", errorDetail: undefined },
        ...{ subscribe: names, unsubscribe: [], initialVersions: new Map(own) },
      }),
    );
  };
  for (const kind of kinds) ask(kind, ["*"]);
  ask("endpoints", endpointsOf);
  if (known.size > 0) {
    // Answered after everything before it.
    pending.add(resourceType("route").typeUrl);
    stream.send(
      encodeDeltaRequest({
        ...{
          node: testNode({ WEFT_VERSION: "0.1.0" }),
          typeUrl: resourceType("route").typeUrl,
          responseNonce: "",
          errorDetail: undefined,
        },
        ...{ subscribe: ["no-such-route"], unsubscribe: [], initialVersions: new Map() },
      }),
    );
  }
  await promise;
  return { resources, bytes };
};
