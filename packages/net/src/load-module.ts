import { createRequire } from "node:module";

/**
 * Loads a package of CommonJS at once, where it is first needed rather than where the program starts: for large ones
 * that most runs do without.
 */
export const loadModule: (name: string) => unknown = createRequire(import.meta.url);
