/** The flags of Node that our processes run with, by what they are. The launchers, which are no TypeScript, say the same. */

const quiet = "--disable-warning=ExperimentalWarning";

/** A small young generation suits a proxy: its garbage dies at once, and memory is what a sidecar is counted by. */
export const sidecarNodeFlags: readonly string[] = [quiet, "--max-semi-space-size=2"];

/**
 * Pushes wait while the young generation is collected. Helpers would compete with that for the one core that a control
 * plane mostly has; and what many proxies are sent dies by itself, where there is room until then.
 */
export const controlPlaneNodeFlags: readonly string[] = [quiet, "--max-semi-space-size=32", "--no-parallel-scavenge"];

export const otherNodeFlags: readonly string[] = [quiet];

/** For `weft COMMAND …`. */
export const nodeFlagsOf = (command: string | undefined): readonly string[] => {
  if (command === "cp") return controlPlaneNodeFlags;
  return command === "sidecar" || command === "agent" || command === "pod" ? sidecarNodeFlags : otherNodeFlags;
};
