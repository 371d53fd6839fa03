/** Codes of what the shape of a document can have wrong. */
export const shapeCodes = {
  unknownKind: "WF1002",
  unknownField: "WF1003",
  wrongType: "WF1004",
  missingField: "WF1005",
  badValue: "WF1006",
  exclusiveFields: "WF1007",
  metadata: "WF1009",
  deprecatedField: "WF1014",
} as const;
