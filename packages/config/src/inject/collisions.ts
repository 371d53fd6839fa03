/** What an application does that only its proxy may: it works without a sidecar, and fails or goes past the mesh beside one. */
import { injectCodes, type TakeNote } from "./inject-note.ts";
import { interceptContainerName, proxyId } from "./interception.ts";
import { type JsonObject, nameOf, objectOf, objectsOf } from "./json-values.ts";
import { proxyContainerName } from "./proxy-container.ts";
import type { ProxySettings } from "./proxy-settings.ts";

/** Where the proxy listens in every pod. */
const proxyPorts: readonly number[] = [15_000, 15_001, 15_006, 15_021, 15_090];

export const tellCollisions = (
  spec: JsonObject,
  { interception, statusPort }: ProxySettings,
  takeNote: TakeNote,
): void => {
  const taken = new Set([...proxyPorts, statusPort]);
  const user = objectOf(spec.securityContext).runAsUser;
  for (const [index, container] of objectsOf(spec.containers).entries()) {
    const name = nameOf(container);
    if (name === proxyContainerName || name === interceptContainerName) continue;
    const path = ["spec", "containers", index];
    if (interception !== "NONE" && (objectOf(container.securityContext).runAsUser ?? user) === proxyId) {
      const message = `${name} runs as user ${proxyId}, the proxy's own: its connections go past the mesh`;
      takeNote({ code: injectCodes.collision, level: "warning", message, path });
    }
    for (const { containerPort } of objectsOf(container.ports)) {
      if (typeof containerPort !== "number" || !taken.has(containerPort)) continue;
      const message = `${name} has the port ${containerPort}, where the proxy listens: one of them will not start`;
      takeNote({ code: injectCodes.collision, level: "warning", message, path: [...path, "ports"] });
    }
  }
};
