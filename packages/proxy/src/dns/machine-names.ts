/** Names as this machine resolves them: its files, its servers, real sockets. */
import { randomInt } from "node:crypto";
import type { Random, SetTimer } from "@weft/core/world";
import { createTcpAsk, createUdpAsk } from "@weft/net/dns/exchange";
import { readText } from "@weft/net/read-text";
import type { ResolveName } from "./resolve-name.ts";
import { createResolver } from "./resolver.ts";

export const machineNames = ({
  setTimer,
  random,
}: {
  readonly setTimer: SetTimer;
  readonly random: Random;
}): ResolveName =>
  createResolver({
    udp: createUdpAsk(setTimer),
    tcp: createTcpAsk(setTimer),
    id: () => randomInt(0x10000),
    random,
    readText,
  });
