import { GRPC_PREFIX_BYTES } from "./frames.ts";

/** Counts the messages in a gRPC body as it passes, without keeping any of it. A message counts when its prefix is whole. */
export class GrpcMessageCounter {
  count = 0;
  private prefixBytes = 0;
  private length = 0;
  private bodyLeft = 0;

  receive(chunk: Buffer): void {
    let at = 0;
    const end = chunk.length;
    while (at < end) {
      if (this.bodyLeft > 0) {
        const skipped = Math.min(this.bodyLeft, end - at);
        this.bodyLeft -= skipped;
        at += skipped;
        continue;
      }
      // The flag does not matter here; the four bytes behind it are the length.
      if (this.prefixBytes > 0) this.length = this.length * 256 + chunk[at]!;
      at++;
      if (++this.prefixBytes < GRPC_PREFIX_BYTES) continue;
      this.count++;
      this.bodyLeft = this.length;
      this.prefixBytes = 0;
      this.length = 0;
    }
  }

  reset(): void {
    this.count = 0;
    this.prefixBytes = 0;
    this.length = 0;
    this.bodyLeft = 0;
  }
}
