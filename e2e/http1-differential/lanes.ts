/** Sends cases to a target, one at a time in each lane, and tells what the client got and the upstream read. */
import { connect } from "node:net";
import type { ReadRequest, RecordingUpstream } from "./upstream.ts";

export interface Outcome {
  /** Final statuses in order; 0 for a connection that did not close in time. */
  readonly statuses: readonly number[];
  /** How many of them the upstream gave. */
  readonly fromUpstream: number;
  readonly node: readonly ReadRequest[];
  readonly raw: readonly ReadRequest[];
  readonly problems: readonly string[];
}

export interface Lane {
  readonly address: string;
  readonly port: number;
  readonly upstream: RecordingUpstream;
}

const hangMs = 8000;

/** A client that got an answer and then nothing for so long ends its side; before any answer it waits. */
const quietMs = 60;

/** Writes the bytes and reads until the other side closes. */
const exchange = (lane: Lane, text: string, patienceMs: number): Promise<{ got: string; closed: boolean }> =>
  new Promise((resolve) => {
    const socket = connect({ host: lane.address, port: lane.port });
    let got = "";
    let closed = true;
    const timer = setTimeout(() => {
      closed = false;
      socket.destroy();
    }, hangMs);
    let quiet: NodeJS.Timeout | undefined;
    socket.on("data", (bytes) => {
      got += bytes.toString("latin1");
      clearTimeout(quiet);
      quiet = setTimeout(() => socket.end(), quietMs + patienceMs);
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(timer);
      clearTimeout(quiet);
      resolve({ got, closed });
    });
    socket.write(text, "latin1");
  });

const settle = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** `settleMs`: how much longer both sides may take before what they did is looked at. */
export const runCase = async (lane: Lane, text: string, settleMs = 0): Promise<Outcome> => {
  const { got, closed } = await exchange(lane, text, settleMs);
  await settle(settleMs);
  const { node, raw, problems } = lane.upstream.take();
  const heads = got.split(/(?=HTTP\/1\.[01] \d{3} )/).filter((head) => /^HTTP\/1\.[01] [2-5]/.test(head));
  const statuses = heads.map((head) => Number(head.slice(9, 12)));
  return {
    statuses: closed ? statuses : [...statuses, 0],
    fromUpstream: heads.filter((head) => /\r\nx-upstream: yes/.test(head)).length,
    node,
    raw,
    problems,
  };
};

/** Runs the cases over all lanes; outcomes are in the order of the cases. */
export const runCases = async (lanes: readonly Lane[], cases: readonly string[], settleMs = 0): Promise<Outcome[]> => {
  const outcomes: Outcome[] = new Array(cases.length);
  let next = 0;
  const work = async (lane: Lane): Promise<void> => {
    for (let at = next++; at < cases.length; at = next++)
      outcomes[at] = await runCase(lane, cases[at] as string, settleMs);
  };
  await Promise.all(lanes.map(work));
  return outcomes;
};
