/** The commands in the reference, from the same descriptions that `--help` prints. */
import { loadCommands } from "@weft/cli/commands/index";
import { describeFlags } from "@weft/control/bin/cp";
import { agentProgram } from "@weft/proxy/bin/agent";
import { sidecarProgram } from "@weft/proxy/bin/sidecar-flags";
import { type Argument, Command } from "commander";

const commands = await loadCommands();

/** These read their own flags; in the list of commands they are names only. */
const processes: ReadonlyMap<string, () => Command> = new Map([
  ["cp", describeFlags],
  ["sidecar", sidecarProgram],
  ["agent", agentProgram],
]);

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll(/(?<!`)<(\w+)>/g, "&lt;$1&gt;");

const sentence = (text: string): string =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${/\.$/.test(text) ? "" : "."}`;

const shownDefault = (value: unknown): string =>
  value === undefined || value === "" || typeof value === "boolean" || Array.isArray(value)
    ? ""
    : `\`${String(value)}\``;

const optionTable = (program: Command): readonly string[] => {
  const rows = program.options
    .filter(({ hidden, long }) => !hidden && long !== "--version")
    .map(
      ({ flags, description, defaultValue }) =>
        `| \`${flags.replaceAll("|", "\\|")}\` | ${cell(description)} | ${shownDefault(defaultValue)} |`,
    );
  return rows.length === 0 ? [] : ["", "| Flag | Meaning | Default |", "|---|---|---|", ...rows];
};

const argumentText = (argument: Argument): string => {
  const shown = `${argument.name()}${argument.variadic ? "..." : ""}`;
  return argument.required ? `<${shown}>` : `[${shown}]`;
};

const usage = (path: string, program: Command): string => {
  const options = program.options.length === 0 ? [] : ["[options]"];
  return `\`${[path, ...options, ...program.registeredArguments.map(argumentText)].join(" ")}\``;
};

const aliasText = (program: Command): string => program.aliases().join("`, `");

/** The parts of a command that take the same flags as its first are one section, a table; others have their own. */
const section = (path: string, program: Command): readonly string[] => {
  const also = aliasText(program) === "" ? "" : ` Also: \`${aliasText(program)}\`.`;
  const [part] = program.commands;
  const told = sentence(program.description()) + also;
  if (part === undefined) {
    const body = ["", usage(path, program), "", told, ...argumentLines(program), ...optionTable(program)];
    return ["", `### ${path}`, ...body];
  }
  const flags = optionTable(part).join();
  const alike = program.commands.filter((one) => optionTable(one).join() === flags);
  const own = program.commands.filter((one) => !alike.includes(one));
  const rows = alike.map((one) => {
    const aliases = aliasText(one) === "" ? "" : ` (also \`${aliasText(one)}\`)`;
    return `| ${usage(`${path} ${one.name()}`, one)}${aliases} | ${cell(one.description())} |`;
  });
  const table = ["", "| Command | Meaning |", "|---|---|", ...rows, ...optionTable(part)];
  return ["", `### ${path}`, "", told, ...table, ...own.flatMap((one) => section(`${path} ${one.name()}`, one))];
};

const argumentLines = (program: Command): readonly string[] => {
  const described = program.registeredArguments.filter(({ description }) => description !== "");
  if (described.length === 0) return [];
  return ["", ...described.map((argument) => `- \`${argumentText(argument)}\`: ${cell(argument.description)}`)];
};

/** Markdown: a section for each command, in the order of `weft --help`. */
export const commandSections = (): string => {
  const program = new Command("weft").enablePositionalOptions();
  for (const command of commands) command.define(program, {} as never);
  return program.commands
    .flatMap((command) => section(`weft ${command.name()}`, processes.get(command.name())?.() ?? command))
    .slice(1)
    .join("\n");
};
