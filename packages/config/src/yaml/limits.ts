/** Bounds on text taken as configuration. A text beyond one is refused as a whole or cut at that document. */
export const fileBytesMax = 16 * 1024 * 1024;
export const documentsMax = 10_000;
export const depthMax = 100;
/** Values in one document after its aliases are expanded. */
export const nodesMax = 500_000;
/** Findings reported about one object, and about one text. */
export const objectProblemsMax = 100;
export const problemsMax = 10_000;
