/** Bounds of the embedded registry. What exceeds them is refused with WF8002. */
export interface RegistryLimits {
  readonly instancesMax: number;
  readonly instancesPerServiceMax: number;
  readonly portsMax: number;
  readonly labelsMax: number;
  readonly labelLengthMax: number;
  readonly metadataEntriesMax: number;
  readonly metadataBytesMax: number;
  readonly ttlSecondsMax: number;
  readonly weightMax: number;
  /** Events kept for watchers that come back. */
  readonly historyMax: number;
}

export const defaultRegistryLimits: RegistryLimits = {
  instancesMax: 200_000,
  instancesPerServiceMax: 10_000,
  portsMax: 32,
  labelsMax: 64,
  labelLengthMax: 253,
  metadataEntriesMax: 64,
  metadataBytesMax: 16_384,
  ttlSecondsMax: 86_400,
  weightMax: 65_535,
  historyMax: 10_000,
};
