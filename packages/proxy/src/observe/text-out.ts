import type { LineOut } from "@weft/core/line-out";

/** Gathers what is put as text, for what is no line of a file. */
export interface TextOut extends LineOut {
  /** What was put since the last time. */
  take(): string;
}

const firstBytes = 256;

/** `line` is told each whole line. */
export const createTextOut = (line: (text: string) => void = () => undefined): TextOut => ({
  bytes: Buffer.alloc(firstBytes),
  at: 0,
  room(bytes) {
    if (this.bytes.length - this.at >= bytes) return;
    const larger = Buffer.alloc(this.at + bytes + this.bytes.length);
    this.bytes.copy(larger, 0, 0, this.at);
    this.bytes = larger;
  },
  begin: () => true,
  end() {
    line(this.take());
  },
  take() {
    const text = this.bytes.toString("utf8", 0, this.at);
    this.at = 0;
    return text;
  },
});
