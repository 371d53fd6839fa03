export interface BenchOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly json: boolean;
}

/** `--rounds`, `--seconds`, `--json`; anything else ends the process with usage. */
export const parseOptions = (flags: readonly string[]): BenchOptions => {
  const number = (flag: string, fallback: number): number => {
    const at = flags.indexOf(flag);
    const value = at < 0 ? fallback : Number(flags[at + 1]);
    if (!(value > 0 && value <= 600)) throw new Error(`WF9061 ${flag} takes a number from 1 to 600`);
    return value;
  };
  return { rounds: number("--rounds", 5), seconds: number("--seconds", 3), json: flags.includes("--json") };
};
