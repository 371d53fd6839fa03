/** systemd units for a sidecar and for a control plane on a machine, with all of a service's rights taken that it does not need. */

export interface UnitProgram {
  readonly description: string;
  readonly user: string;
  /** The only folder it may write to; handed to its user at each start. */
  readonly folder: string;
  /** The program and its arguments. */
  readonly words: readonly string[];
}

/** One word of a command line, as systemd reads it: neither `%` nor `$` nor a quote means anything else than itself. */
export const unitWord = (word: string): string => {
  const plain = word.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("%", "%%").replaceAll("$", "$$$$");
  return /^[A-Za-z0-9_@%+=:,./\\-]+$/.test(plain) ? plain : `"${plain}"`;
};

/** V8 makes code at run time, so MemoryDenyWriteExecute is not among them. */
const hardening = [
  "NoNewPrivileges=yes",
  "CapabilityBoundingSet=",
  "AmbientCapabilities=",
  "ProtectSystem=strict",
  "ProtectHome=read-only",
  "ProtectClock=yes",
  "ProtectHostname=yes",
  "ProtectKernelTunables=yes",
  "ProtectKernelModules=yes",
  "ProtectKernelLogs=yes",
  "ProtectControlGroups=yes",
  "PrivateTmp=yes",
  "PrivateDevices=yes",
  "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
  "RestrictNamespaces=yes",
  "RestrictRealtime=yes",
  "RestrictSUIDSGID=yes",
  "LockPersonality=yes",
  "SystemCallArchitectures=native",
  "UMask=0077",
];

/** The text of a unit file. Throws a TypeError for a folder that is not absolute or has a line break. */
export const unitOf = ({ description, user, folder, words }: UnitProgram): string => {
  if (!folder.startsWith("/") || [folder, user, description, ...words].some((text) => /[\r\n]/.test(text)))
    throw new TypeError("a unit needs an absolute folder and one line for each word");
  return `${[
    "[Unit]",
    `Description=${description.replaceAll("%", "%%")}`,
    "Wants=network-online.target",
    "After=network-online.target",
    "StartLimitIntervalSec=0",
    "",
    "[Service]",
    "Type=exec",
    `User=${user}`,
    // Also where a folder of the user's own has to be made: the mode of those above it is then 0755.
    `ExecStartPre=+/usr/bin/install -d -m 0700 ${unitWord(folder)}`,
    `ExecStartPre=+/bin/chown -R ${unitWord(user)} ${unitWord(folder)}`,
    `ExecStart=${words.map(unitWord).join(" ")}`,
    `ReadWritePaths=${unitWord(folder)}`,
    "Restart=always",
    "RestartSec=1",
    "KillSignal=SIGTERM",
    "TimeoutStopSec=30",
    "LimitNOFILE=1048576",
    ...hardening,
    "",
    "[Install]",
    "WantedBy=multi-user.target",
  ].join("\n")}\n`;
};
