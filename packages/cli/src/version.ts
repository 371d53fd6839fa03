/** The release, as `--version`, node metadata and `/server_info` say it. */
export const version = "0.1.0";
