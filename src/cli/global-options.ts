import { type Command, Option } from "commander";
import { createLogger, type Log, type LogFormat, type LogLevel, logFormats, logLevels } from "../observe/log.ts";
import { type OutputFormat, outputFormats } from "./output-format.ts";

/** What every command takes, before or after its name. */
export interface GlobalOptions {
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}

export function addGlobalOptions(program: Command): void {
  program
    .addOption(new Option("--log-level <level>", "least level that is logged to stderr").choices(logLevels).default("info"))
    .addOption(new Option("--log-format <format>", "how log lines look").choices(logFormats).default("text"));
}

/** Read by a command's action from its own `Command`. */
export function globalOptions(command: Command): GlobalOptions {
  return command.optsWithGlobals<{ logLevel: LogLevel; logFormat: LogFormat }>();
}

/** The log that `--log-level` and `--log-format` ask for. */
export function commandLog(command: Command, name: string): Log {
  const { logLevel, logFormat } = globalOptions(command);
  return createLogger({ level: logLevel, format: logFormat, name });
}

export function addOutputOption(command: Command, formats: readonly OutputFormat[] = outputFormats): Command {
  return command.addOption(new Option("-o, --output <format>", "instead of text for people").choices(formats));
}
