/** Output that a codec holds itself: taken once per turn, when the kernel can take more. */
export interface OutputSource {
  takeOutput(): readonly Buffer[];
  /** What was taken is out; its buffers are the codec's again. */
  outputWritten(): void;
}
