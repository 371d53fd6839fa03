/** What is done for one case of how requests end, and what is seen of it: the answer, and the lines of the log. */
import assert from "node:assert/strict";
import { eventually } from "@weft/testkit/eventually";
import { maskAnswer } from "./compare.ts";
import { callHttp2 } from "./http2-call.ts";
import type { OutcomeCase } from "./outcome-case.ts";
import type { Deed, Peer } from "./pair.ts";
import { maskTalk, talk } from "./talk.ts";

/** Names of errors in what was sent are each codec's own. */
const maskLine = (line: string): string =>
  line
    .slice(line.indexOf("|") + 1)
    .replace(/127\.0\.0\.1:\d+/g, "(host)")
    .replace(/(DownstreamProtocolError )http1\.(?!unexpected_underscore|too_many|headers_too)\S*/, "$1http1.(reason)")
    .replace(/(connection_failure\|)[^} ]*/g, "$1(errno)");

/** The lines about that client's connection since there were `before`, without its port. */
const linesOf = async (peer: Peer, from: number, before: number, least: number): Promise<readonly string[]> => {
  const own = (): readonly string[] =>
    peer
      .log()
      .slice(before)
      .filter((line) => line.startsWith(`${from}|`));
  await eventually("the log has the request", () => (own().length >= least ? true : undefined), 1500).catch(() => {});
  return own().map(maskLine);
};

export const outcomeDeed =
  ({ name, listener = "plain", lines = 1, http2: call, steps, silenceMs, lingerMs }: OutcomeCase): Deed =>
  async (peer) => {
    const port = peer.port(listener);
    const before = peer.log().length;
    if (call === undefined) {
      const options = { ...(silenceMs ? { silenceMs } : {}), ...(lingerMs ? { lingerMs } : {}) };
      const said = await talk(port, steps ?? assert.fail("nothing to do"), options);
      return { answer: maskTalk(said), log: await linesOf(peer, said.from, before, lines) };
    }
    let from = 0;
    const answer = await callHttp2(port, {
      ...call,
      fields: [...call.fields, ["x-case", `${name} of ${peer.name.padEnd(5, ".")}`]],
      onSent: (socket) => {
        from = socket.localPort ?? 0;
        call.onSent?.(socket);
      },
    });
    return { answer: maskAnswer(answer), log: await linesOf(peer, from, before, lines) };
  };
