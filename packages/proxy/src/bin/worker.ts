/** The thread a worker runs on: wires a data plane to the main thread that started it. */
import { ownThread } from "@weft/net/process/thread";

const thread = ownThread();

if (thread !== undefined) {
  // Loaded only now, so that the modules come from the compile cache of the process.
  const { startWorkerThread } = await import("./worker-thread.ts");
  startWorkerThread(thread);
}
