/** Cuts a watch's answer into its lines. */
import { KubernetesError } from "./kubernetes-error.ts";

/** An object has at most 1.5 MB in etcd; JSON of it, with what watches add, is not this long. */
export const lineBytesMax = 16 * 1024 * 1024;

/** Reads to the end; empty lines say nothing. Rejects with a KubernetesError for a line over the bound. */
export const watchLines = async (
  chunks: AsyncIterable<Uint8Array>,
  line: (text: string) => void,
  bytesMax = lineBytesMax,
): Promise<void> => {
  let parts: Uint8Array[] = [];
  let held = 0;
  for await (const chunk of chunks) {
    let from = 0;
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, from)) {
      parts.push(chunk.subarray(from, at));
      const text = Buffer.concat(parts).toString("utf8").trim();
      parts = [];
      held = 0;
      from = at + 1;
      if (text !== "") line(text);
    }
    if (from === chunk.length) continue;
    held += chunk.length - from;
    if (held > bytesMax) throw new KubernetesError(0, "", `a watch's line is longer than ${bytesMax} bytes`);
    parts.push(chunk.subarray(from));
  }
};

const newline = 10;
