/** Codes of Istio's and Kiali's checks that mean the same as a code of the shape. */
const table: ReadonlyMap<string, readonly string[]> = new Map([
  ["WF1001", ["IST0106"]],
  ["WF1002", ["IST0106"]],
  ["WF1003", ["IST0106"]],
  ["WF1004", ["IST0106"]],
  ["WF1005", ["IST0106"]],
  ["WF1006", ["IST0106"]],
  ["WF1007", ["IST0106"]],
  ["WF1009", ["IST0106"]],
  ["WF1012", ["IST0106"]],
  ["WF1014", ["IST0002"]],
]);

export const alsoOf = (code: string): readonly string[] => table.get(code) ?? [];
