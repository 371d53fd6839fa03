/** The Lease of coordination.k8s.io as JSON, both ways. */
import type { LeaseRecord, NewLease } from "./election.ts";

/** `undefined` for what is no Lease. Members that are absent or odd read as a lease that nobody holds. */
export const readLease = (value: unknown): LeaseRecord | undefined => {
  const { metadata, spec, kind } = record(value) ?? {};
  const resourceVersion = record(metadata)?.resourceVersion;
  if (kind !== "Lease" || typeof resourceVersion !== "string") return undefined;
  const { holderIdentity, leaseDurationSeconds, leaseTransitions, acquireTime, renewTime } = record(spec) ?? {};
  return {
    holder: text(holderIdentity),
    ttlMs: count(leaseDurationSeconds) * 1000,
    transitions: count(leaseTransitions),
    acquireTime: text(acquireTime),
    renewTime: text(renewTime),
    resourceVersion,
  };
};

/** The object to create, or with a version to replace that version by. */
export const leaseObject = (name: string, namespace: string, lease: NewLease, resourceVersion?: string): object => ({
  apiVersion: "coordination.k8s.io/v1",
  kind: "Lease",
  metadata: { name, namespace, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
  spec: {
    holderIdentity: lease.holder,
    leaseDurationSeconds: Math.max(1, Math.round(lease.ttlMs / 1000)),
    leaseTransitions: lease.transitions,
    acquireTime: lease.acquireTime,
    renewTime: lease.renewTime,
  },
});

const record = (value: unknown): Readonly<Record<string, unknown>> | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
const text = (value: unknown): string => (typeof value === "string" ? value : "");
const count = (value: unknown): number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : 0;
