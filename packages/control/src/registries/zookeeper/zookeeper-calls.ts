/** One session with ZooKeeper for calls that are waited for: from its first server to its first failure. */
import type { SetTimer } from "@weft/core/world";
import type { Dial, Dialed } from "@weft/net/tcp/dial";
import { errorInWords } from "@weft/protocols/zookeeper/error-codes";
import type { ReplyBody, ZookeeperRequest } from "@weft/protocols/zookeeper/messages";
import type { WriteTools } from "../outside/write-session.ts";
import { createSession, type SessionInput, type SessionOutput, type SessionSettings } from "./session.ts";

/** ZooKeeper answered, with an error. */
export class ZookeeperError extends Error {
  readonly code: number;

  constructor(code: number) {
    super(errorInWords(code));
    this.code = code;
  }
}

export interface ZookeeperCalls extends Disposable {
  /** Rejects with `ZookeeperError`, or another Error when the session is over. */
  call(request: ZookeeperRequest): Promise<ReplyBody>;
}

interface Waiting {
  readonly resolve: (body: ReplyBody) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Gives the session once it stands and may write. Nothing outlives its first failure, so that nobody has to know whether
 * another server took it up; what it made goes with its time-out.
 */
export const openZookeeperCalls = (
  settings: SessionSettings,
  dial: Dial,
  tools: Pick<WriteTools, "clock" | "random" | "ended"> & { readonly setTimer: SetTimer },
): Promise<ZookeeperCalls> =>
  new Promise((resolve, reject) => {
    const session = createSession(settings, tools.random, tools.clock.nowMs());
    const waiting = new Map<number, Waiting>();
    let connection: Dialed | undefined;
    let timer: Disposable | undefined;
    let stood = false;
    let over: string | undefined;

    const end = (reason: string): void => {
      if (over !== undefined) return;
      over = reason;
      timer?.[Symbol.dispose]();
      connection?.close();
      for (const { reject: fail } of waiting.values()) fail(new Error(reason));
      waiting.clear();
      if (stood) tools.ended(reason);
      else reject(new Error(reason));
    };
    const call = (request: ZookeeperRequest): Promise<ReplyBody> =>
      new Promise((answered, failed) => {
        if (over !== undefined) {
          failed(new Error(over));
          return;
        }
        const { xid, bytes } = session.request(request, tools.clock.nowMs());
        waiting.set(xid, { resolve: answered, reject: failed });
        connection?.write(bytes);
      });
    const perform = (output: SessionOutput): void => {
      switch (output.kind) {
        case "dial":
          connection = dial(output.server, {
            onConnected: () => feed({ kind: "opened" }),
            onRead: (bytes) => feed({ kind: "bytes", bytes }),
            onClose: (reason) => feed({ kind: "closed", reason }),
          });
          return;
        case "write":
          connection?.write(output.bytes);
          return;
        case "established":
          if (output.readOnly) {
            end("the server has no quorum and only reads");
            return;
          }
          stood = true;
          resolve({ call, [Symbol.dispose]: () => end("it was closed") });
          return;
        case "reply": {
          const asked = waiting.get(output.xid);
          waiting.delete(output.xid);
          if (output.error !== 0) asked?.reject(new ZookeeperError(output.error));
          else if (output.body.kind === "too-long") asked?.reject(new Error("the answer is longer than is taken"));
          else asked?.resolve(output.body);
          return;
        }
        case "failed":
          end(output.reason);
          return;
        case "hang-up":
        case "event":
      }
    };
    const feed = (input: SessionInput): void => {
      if (over !== undefined) return;
      for (const output of session.handle(input, tools.clock.nowMs())) perform(output);
      if (over !== undefined) return;
      timer?.[Symbol.dispose]();
      timer = tools.setTimer(() => feed({ kind: "tick" }), Math.max(0, session.deadlineMs() - tools.clock.nowMs()));
    };
    feed({ kind: "tick" });
  });
