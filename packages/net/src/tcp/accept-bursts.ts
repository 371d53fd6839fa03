import { acceptsPerTurnMax, burstTurns } from "./limits.ts";

/**
 * Finds out when connections queue at a listening socket. Node takes one of them in each turn of its loop: where turns
 * are long, because many connections are busy, the last of a crowd would wait for as many turns as it has members.
 */
export class AcceptBursts {
  private inRow = 0;
  private came = false;
  private watching = false;
  private readonly turnEnds: () => void;

  constructor() {
    this.turnEnds = () => {
      this.watching = this.came;
      if (this.came) setImmediate(this.turnEnds);
      else this.inRow = 0;
      this.came = false;
    };
  }

  /** One was taken. How many more to look for at once: none while they come singly. */
  accepted(): number {
    if (!this.came) this.inRow++;
    this.came = true;
    if (!this.watching) {
      this.watching = true;
      setImmediate(this.turnEnds);
    }
    return this.inRow < burstTurns ? 0 : acceptsPerTurnMax - 1;
  }
}
