import { spawnSync } from "node:child_process";
import { type Program, type ProgramResult, runProgram, startProgram } from "./processes.ts";

/** A network namespace of our own with one cable to ours, IPv4 and IPv6 on it. Disposing removes it and the cable. */
export interface NetworkNamespace extends Disposable {
  readonly name: string;
  /** Addresses of its end of the cable, and of ours: two of each, so that one can be excluded. */
  readonly inside: { readonly ipv4: string; readonly ipv6: string };
  readonly outside: { readonly ipv4: readonly [string, string]; readonly ipv6: string };
  /** Runs a program inside to its end. */
  run(command: string, args: readonly string[]): Promise<ProgramResult>;
  /** Starts one that stays. */
  start(command: string, args: readonly string[]): Program;
}

const perProcess = 8;
let made = 0;

const must = (args: readonly string[]): void => {
  const { status, stderr } = spawnSync("ip", [...args], { encoding: "utf8" });
  if (status !== 0) {
    throw new Error(
      `ip ${args.join(" ")}: ${stderr?.trim() || "could not be started"}. These tests need Linux, root and iproute2`,
    );
  }
};

/** Makes one. Its addresses are made from this process's id, so that two test runs do not meet. */
export const createNetworkNamespace = (): NetworkNamespace => {
  const id = process.pid * perProcess + (made++ % perProcess);
  const name = `weft-${id}`;
  const [here, there] = [`wv${id}h`, `wv${id}n`];
  const net = `10.${200 + (id % 50)}.${Math.floor(id / 50) % 250}`;
  const net6 = `fd77:${((id >> 16) & 0xffff).toString(16)}:${(id & 0xffff).toString(16)}::`;
  const inside = { ipv4: `${net}.2`, ipv6: `${net6}2` };
  const outside = { ipv4: [`${net}.1`, `${net}.9`] as const, ipv6: `${net6}1` };
  must(["netns", "add", name]);
  const remove = (): void => {
    spawnSync("ip", ["netns", "del", name]);
    spawnSync("ip", ["link", "del", here]);
  };
  try {
    must(["link", "add", here, "type", "veth", "peer", "name", there, "netns", name]);
    for (const address of outside.ipv4) must(["addr", "add", `${address}/24`, "dev", here]);
    must(["addr", "add", `${outside.ipv6}/64`, "dev", here, "nodad"]);
    must(["link", "set", here, "up"]);
    must(["-n", name, "link", "set", "lo", "up"]);
    must(["-n", name, "addr", "add", `${inside.ipv4}/24`, "dev", there]);
    must(["-n", name, "addr", "add", `${inside.ipv6}/64`, "dev", there, "nodad"]);
    must(["-n", name, "link", "set", there, "up"]);
  } catch (error) {
    remove();
    throw error;
  }
  return {
    name,
    inside,
    outside,
    run: (command, args) => runProgram("ip", ["netns", "exec", name, command, ...args]),
    // `ip netns exec` becomes the program, so signals reach it.
    start: (command, args) => startProgram("ip", ["netns", "exec", name, command, ...args]),
    [Symbol.dispose]: remove,
  };
};

/** Lays a cable between two namespaces, and gives the address of each at its end of it. */
export const joinNamespaces = (one: NetworkNamespace, two: NetworkNamespace): readonly [string, string] => {
  const cable = `wj${made++}`;
  must(["-n", one.name, "link", "add", cable, "type", "veth", "peer", "name", cable, "netns", two.name]);
  const addresses = ["fd78::1", "fd78::2"] as const;
  for (const [index, { name }] of [one, two].entries()) {
    must(["-n", name, "addr", "add", `${addresses[index]}/64`, "dev", cable, "nodad"]);
    must(["-n", name, "link", "set", cable, "up"]);
  }
  return addresses;
};
