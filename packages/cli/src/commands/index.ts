import type { Command } from "../command.ts";
import { analyzeCommand } from "./analyze.ts";
import { applyCommand } from "./apply.ts";
import { checkCommand } from "./check.ts";
import { deleteCommand } from "./delete.ts";
import { demoCommand } from "./demo.ts";
import { explainCommand } from "./explain.ts";
import { getCommand } from "./get.ts";
import { interceptCommand } from "./intercept.ts";
import { agentCommand, cpCommand, sidecarCommand } from "./processes.ts";
import { proxyConfigCommand } from "./proxy-config.ts";
import { proxyStatusCommand } from "./proxy-status.ts";
import { registryCommand } from "./registry.ts";
import { runCommand } from "./run.ts";
import { tokenCommand } from "./token.ts";

/** Every command, in the order the help shows them. */
export const commands: readonly Command[] = [
  demoCommand,
  runCommand,
  getCommand,
  applyCommand,
  deleteCommand,
  analyzeCommand,
  explainCommand,
  checkCommand,
  proxyStatusCommand,
  proxyConfigCommand,
  registryCommand,
  tokenCommand,
  interceptCommand,
  cpCommand,
  sidecarCommand,
  agentCommand,
];
