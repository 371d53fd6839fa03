/** Where the CA keeps its few small texts; `bin/` gives one made of files readable by their owner only. */
export interface CaStore {
  /** `undefined` when there is none of that name. */
  read(name: string): string | undefined;
  /** Durable and whole when it returns: a crash leaves the old text or the new one. */
  write(name: string, text: string): void;
}

/** For tests and for a mesh that may forget its root when it stops. */
export const memoryCaStore = (): CaStore => {
  const texts = new Map<string, string>();
  return {
    read: (name) => texts.get(name),
    write: (name, text) => {
      texts.set(name, text);
    },
  };
};
