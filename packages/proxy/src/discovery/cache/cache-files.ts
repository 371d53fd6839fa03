/** The folder that the cache is kept in, as it meets it. Whatever fails throws what the system says. */
export interface CacheFiles {
  /** The whole file; `undefined` when there is none. */
  read(name: string): Buffer | undefined;
  readPart(name: string, at: number, length: number): Buffer;
  /**
   * Adds to the file, which is `at` bytes long: false when it is not, because somebody else writes it, and nothing is
   * done then. A write that fails leaves the file as it was.
   */
  append(name: string, at: number, bytes: Uint8Array): boolean;
  /** Puts the content in the file's place at once or not at all. */
  replace(name: string, bytes: Uint8Array): void;
  remove(name: string): void;
}
