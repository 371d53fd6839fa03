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
  readonly locality?: string | undefined;
  readonly weight?: number | undefined;
}

export type RegisteredHealth = "healthy" | "unhealthy";

/** A registration that is kept up. */
export interface KeptRegistration extends AsyncDisposable {
  /** Tells the registry, now and whenever it has to be told again. */
  setHealth(health: RegisteredHealth): void;
}

/** Seconds an instance stays after its last heartbeat; it renews at a third of that. */
const ttlSeconds = 30;

const pathOf = ({ service, instance, namespace }: Registration, verb = ""): string =>
  `/v1/registry/${encodeURIComponent(service)}/instances/${encodeURIComponent(instance)}${verb}?namespace=${encodeURIComponent(namespace)}`;

const put = (api: ApiTarget, registration: Registration, health: RegisteredHealth): Promise<unknown> => {
  const { namespace, serviceAccount, labels, metadata, servicePort, inbound, locality, weight } = registration;
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
      health,
      ...(locality === undefined ? {} : { locality }),
      ...(weight === undefined ? {} : { weight }),
    }),
  });
};

export interface RegistrationWatch {
  readonly onTrouble: (error: unknown) => void;
  /** While false there are no heartbeats, and the registration runs out by itself. */
  readonly isReachable?: () => boolean;
  /** What it begins with; healthy if absent. */
  readonly health?: RegisteredHealth;
}

/**
 * Registers an instance and keeps it registered until disposed, which takes it out at once. A control plane that is
 * away, or that forgot the instance, is told again at the next beat; `onTrouble` hears of it.
 */
export const keepRegistered = async (
  api: ApiTarget,
  registration: Registration,
  { onTrouble, isReachable = () => true, health: first = "healthy" }: RegistrationWatch,
): Promise<KeptRegistration> => {
  let health = first;
  let ended = false;
  await put(api, registration, health);
  const beat = async (): Promise<void> => {
    if (!isReachable()) return;
    try {
      await askApi(api, pathOf(registration, "/heartbeat"), { method: "POST" });
    } catch {
      await put(api, registration, health).catch(onTrouble);
    }
  };
  const timer = setInterval(() => void beat(), (ttlSeconds * 1000) / 3);
  return {
    setHealth(now) {
      if (now === health || ended) return;
      health = now;
      void put(api, registration, health).catch(onTrouble);
    },
    [Symbol.asyncDispose]: async () => {
      ended = true;
      clearInterval(timer);
      await askApi(api, pathOf(registration), { method: "DELETE", signal: AbortSignal.timeout(2000) }).catch(onTrouble);
    },
  };
};
