const controls = /\p{Cc}/gu;

/** The text with control characters as `\u` and their number: a name that somebody chose makes no lines of its own. */
export const oneLine = (text: string): string =>
  text.replace(controls, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
