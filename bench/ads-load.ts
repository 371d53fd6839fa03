/** The load generator of the control plane's benches: a process of its own on the load core. */
import { fork } from "node:child_process";
import { join } from "node:path";
import type { Answer, Changed, ChangeMany, ChangeOne, Command, Opened, OpenStreams } from "./load/ads/messages.ts";
import { loadCore, pin } from "./process-usage.ts";

export interface AdsLoad extends Disposable {
  /** Resolves when every stream has all that it asked for. */
  open(what: Omit<OpenStreams, "kind">): Promise<Opened>;
  change(what: Omit<ChangeOne, "kind">): Promise<Changed>;
  changes(what: Omit<ChangeMany, "kind">): Promise<Changed>;
  closeStreams(): Promise<void>;
}

export const startAdsLoad = (): AdsLoad => {
  const child = fork(join(import.meta.dirname, "load/ads/generator.ts"), { serialization: "advanced" });
  pin(child.pid ?? -1, loadCore);
  const tell = (command: Command): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error("the load generator ended"));
      child.once("exit", ended);
      child.once("message", (answer: Answer) => {
        child.off("exit", ended);
        if ("failed" in answer) reject(new Error(`WF9062 the ADS load failed: ${answer.failed}`));
        else resolve(answer);
      });
      child.send(command);
    });
  return {
    open: async (what) => ((await tell({ kind: "open", ...what })) as { readonly opened: Opened }).opened,
    change: async (what) => ((await tell({ kind: "change", ...what })) as { readonly changed: Changed }).changed,
    changes: async (what) => ((await tell({ kind: "changes", ...what })) as { readonly changed: Changed }).changed,
    closeStreams: async () => void (await tell({ kind: "close" })),
    [Symbol.dispose]: () => void child.kill("SIGKILL"),
  };
};
