/**
 * What belongs to one downstream connection and goes when it goes: upstream connections that were opened in its name
 * and that nobody else may use.
 */
export class DownstreamTies {
  private closers: Set<() => void> | undefined = undefined;
  private over = false;

  /** Calls `close` once the downstream connection has gone. */
  onGone(close: () => void): void {
    if (this.over) {
      close();
      return;
    }
    this.closers ??= new Set();
    this.closers.add(close);
  }

  release(): void {
    this.over = true;
    const { closers } = this;
    this.closers = undefined;
    if (closers !== undefined) for (const close of closers) close();
  }
}
