/** Where the bytes of a line go, one value after the other, without text in between. */
export interface LineOut {
  /** What is being filled; another one after `room`. */
  bytes: Buffer;
  at: number;
  /** Makes sure that so many bytes are free behind `at`. */
  room(bytes: number): void;
  /** False when the line is to be left out. */
  begin(): boolean;
  /** The line is whole. */
  end(): void;
}
