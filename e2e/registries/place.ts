/** Where a real server runs: beside the test, or in a network namespace from which who is tested can be cut off. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createNetworkNamespace } from "@weft/testkit/network-namespace";
import { startProgram } from "@weft/testkit/processes";

export interface Place {
  /** What the server listens on. */
  readonly listen: string;
  /** Where who is tested reaches it. */
  readonly host: string;
  /** Where the test reaches it, also while `host` is cut off. */
  readonly testHost: string;
  readonly start: typeof startProgram;
}

export const here: Place = { listen: "127.0.0.1", host: "127.0.0.1", testHost: "127.0.0.1", start: startProgram };

export interface PlaceApart extends Place, Disposable {
  /** From now on packets from `host` are swallowed: nobody is told. */
  cut(): void;
  mend(): void;
}

/** A namespace with two addresses, of which one can be cut off. */
export const openPlaceApart = (): PlaceApart => {
  const network = createNetworkNamespace();
  const host = network.inside.ipv4;
  const testHost = host.replace(/\d+$/, "3");
  const run = (command: string, args: readonly string[]): void => {
    const { status, stderr } = spawnSync(command, [...args], { encoding: "utf8" });
    assert.equal(status, 0, `${command} ${args.join(" ")}: ${stderr}`);
  };
  let isCut = false;
  const turn = (cut: boolean): void => {
    if (isCut === cut) return;
    run("iptables", [cut ? "-I" : "-D", "INPUT", "-s", host, "-j", "DROP"]);
    isCut = cut;
  };
  // Linux answers on every interface for an address that it has on any.
  run("ip", ["-n", network.name, "addr", "add", `${testHost}/32`, "dev", "lo"]);
  return {
    ...{ listen: "0.0.0.0", host, testHost },
    start: (command, args, options) => startProgram("ip", ["netns", "exec", network.name, command, ...args], options),
    cut: () => turn(true),
    mend: () => turn(false),
    [Symbol.dispose]: () => {
      turn(false);
      network[Symbol.dispose]();
    },
  };
};
