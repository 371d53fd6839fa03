import { type ApiTarget, askApi } from "../mesh/api.ts";
import type { Inbound } from "./spawn-sidecar.ts";

/** An instance of a service as this workload registers it. */
export interface Registration {
  readonly service: string;
  readonly namespace: string;
  readonly instance: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly servicePort: number;
  readonly inbound: Inbound;
}

/** Seconds an instance stays after its last heartbeat; it renews at a third of that. */
const ttlSeconds = 30;

const pathOf = ({ service, instance, namespace }: Registration, verb = ""): string =>
  `/v1/registry/${encodeURIComponent(service)}/instances/${encodeURIComponent(instance)}${verb}?namespace=${encodeURIComponent(namespace)}`;

const put = (api: ApiTarget, registration: Registration): Promise<unknown> => {
  const { namespace, serviceAccount, labels, metadata, servicePort, inbound } = registration;
  return askApi(api, pathOf(registration), {
    method: "PUT",
    body: JSON.stringify({
      namespace,
      address: inbound.address,
      port: inbound.port,
      appPort: inbound.appPort,
      portName: inbound.name,
      protocol: inbound.protocol,
      servicePort,
      labels,
      metadata,
      serviceAccount,
      ttlSeconds,
    }),
  });
};

export interface RegistrationWatch {
  readonly onTrouble: (error: unknown) => void;
  /** While false there are no heartbeats, and the registration runs out by itself. */
  readonly isReachable?: () => boolean;
}

/**
 * Registers an instance and keeps it registered until disposed, which takes it out at once. A control plane that is
 * away, or that forgot the instance, is told again at the next beat; `onTrouble` hears of it.
 */
export const keepRegistered = async (
  api: ApiTarget,
  registration: Registration,
  { onTrouble, isReachable = () => true }: RegistrationWatch,
): Promise<AsyncDisposable> => {
  await put(api, registration);
  const beat = async (): Promise<void> => {
    if (!isReachable()) return;
    try {
      await askApi(api, pathOf(registration, "/heartbeat"), { method: "POST" });
    } catch {
      await put(api, registration).catch(onTrouble);
    }
  };
  const timer = setInterval(() => void beat(), (ttlSeconds * 1000) / 3);
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      await askApi(api, pathOf(registration), { method: "DELETE", signal: AbortSignal.timeout(2000) }).catch(onTrouble);
    },
  };
};
