/** Single key presses of the terminal, without Enter. Does nothing where standard input is not a terminal. */
export const readKeys = (onKey: (key: string) => void): Disposable => {
  const { stdin } = process;
  if (!stdin.isTTY) return { [Symbol.dispose]: () => {} };
  const listen = (data: Buffer): void => {
    for (const key of data.toString("utf8")) onKey(key);
  };
  stdin.setRawMode(true);
  stdin.resume();
  stdin.on("data", listen);
  return {
    [Symbol.dispose]: () => {
      stdin.off("data", listen);
      stdin.setRawMode(false);
      stdin.pause();
    },
  };
};
