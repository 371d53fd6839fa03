/** A configuration that cannot be taken, thrown while compiling it; becomes a NACK or a finding. */
export class ConfigError extends Error {
  /** Dotted path of the offending field from the resource's root: `filterChains[0].filters[1].typedConfig`. */
  readonly field: string;
  /** What is wrong with it, without the path. */
  readonly problem: string;
  constructor(field: string, problem: string) {
    super(field === "" ? problem : `${field}: ${problem}`);
    this.name = "ConfigError";
    this.field = field;
    this.problem = problem;
  }
}
