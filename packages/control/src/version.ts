/** The release, as `/v1/version` says it. */
export const version = "0.1.0";
