/** What outlier detection knows of one host. */

/** Rows of bad outcomes, by number. */
export const rows = { any5xx: 0, gateway: 1, local: 2 } as const;
export type Row = (typeof rows)[keyof typeof rows];

/** Outcomes of an interval. */
export interface Rates {
  readonly total: number;
  readonly success: number;
}

export interface OutlierRecord {
  readonly ejected: boolean;
  /** Lengthens the row by one and gives its length. */
  lengthen(row: Row): number;
  end(row: Row): void;
  /** An outcome of this interval: the host's own answer, or a local one (a connection made, or not). */
  count(local: boolean, success: boolean): void;
  /** What the interval counted, which begins anew. */
  takeRates(local: boolean): Rates;
  /** False when the host is out already: one ejection has one cause, whichever thread saw it first. */
  tryEject(): boolean;
  /** False when the host is in already. */
  tryReturn(): boolean;
  ejectedAtMs: number;
  jitterMs: number;
  /** How many base times the next ejection lasts; falls by one per interval without one. */
  ejections: number;
}

export class LocalOutlierRecord implements OutlierRecord {
  ejected = false;
  ejectedAtMs = 0;
  jitterMs = 0;
  ejections = 0;
  private readonly rows: number[] = [0, 0, 0];
  private total = 0;
  private success = 0;
  private localTotal = 0;
  private localSuccess = 0;

  lengthen(row: Row): number {
    const length = (this.rows[row] as number) + 1;
    this.rows[row] = length;
    return length;
  }
  end(row: Row): void {
    this.rows[row] = 0;
  }
  count(local: boolean, success: boolean): void {
    if (local) {
      this.localTotal++;
      if (success) this.localSuccess++;
    } else {
      this.total++;
      if (success) this.success++;
    }
  }
  takeRates(local: boolean): Rates {
    const rates = local
      ? { total: this.localTotal, success: this.localSuccess }
      : { total: this.total, success: this.success };
    if (local) {
      this.localTotal = 0;
      this.localSuccess = 0;
    } else {
      this.total = 0;
      this.success = 0;
    }
    return rates;
  }
  tryEject(): boolean {
    if (this.ejected) return false;
    this.ejected = true;
    return true;
  }
  tryReturn(): boolean {
    if (!this.ejected) return false;
    this.ejected = false;
    return true;
  }
}
