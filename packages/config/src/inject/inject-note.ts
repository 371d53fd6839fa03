/** What injection tells about a pod or about the injector's values. */
import type { FieldPath, Level } from "../schema/problem.ts";

export interface InjectNote {
  readonly code: string;
  readonly level: Level;
  readonly message: string;
  /** From the root of the pod (or of the values). */
  readonly path: FieldPath;
}

export const injectCodes = {
  badPod: "WF2170",
  badAnnotation: "WF2171",
  unknownAnnotation: "WF2172",
  withoutEffect: "WF2173",
  badValues: "WF2174",
  probeLeft: "WF2175",
  collision: "WF5067",
} as const;

/** Takes notes; the first that is an error refuses the pod. */
export type TakeNote = (note: InjectNote) => void;
