import { redactValue } from "./redact.ts";

export const logLevels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];
export const logFormats = ["text", "json"] as const;
export type LogFormat = (typeof logFormats)[number];
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes one line. Fields may hold any value; secrets in them are masked, errors are printed with code and causes. */
export interface Log {
  (level: LogLevel, message: string, fields?: LogFields): void;
  /** A log whose lines carry `name` below this one's: `agent/rules`. `fields` go on every line. */
  child(name: string, fields?: LogFields): Log;
}

export interface LoggerOptions {
  /** Lines below it are dropped before any work is done for them. */
  readonly level: LogLevel;
  readonly format: LogFormat;
  readonly name?: string;
  readonly fields?: LogFields;
}

export interface LoggerDeps {
  /** Gets whole lines, with their line end. */
  readonly write: (line: string) => void;
  readonly now: () => number;
  readonly colors: boolean;
}

/** A logger on stderr: stdout belongs to answers. */
export function createLogger(options: LoggerOptions, deps: LoggerDeps = stderrDeps()): Log {
  const threshold = logLevels.indexOf(options.level);
  const log = (level: LogLevel, message: string, fields?: LogFields): void => {
    if (logLevels.indexOf(level) < threshold) return;
    const all = fields === undefined ? options.fields : { ...options.fields, ...fields };
    const line: LogLine = { level, message, time: deps.now(), ...(options.name === undefined ? {} : { name: options.name }) };
    deps.write(`${options.format === "json" ? printJsonLine(line, all) : printTextLine(line, all, deps.colors)}\n`);
  };
  const child = (name: string, fields?: LogFields): Log =>
    createLogger(
      {
        ...options,
        name: options.name === undefined ? name : `${options.name}/${name}`,
        ...(fields === undefined ? {} : { fields: { ...options.fields, ...fields } }),
      },
      deps,
    );
  return Object.assign(log, { child });
}

/** Drops everything: for tests and for callers without a log. */
export const silentLog: Log = Object.assign((): void => {}, { child: (): Log => silentLog });

interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly time: number;
  readonly name?: string;
}

function printJsonLine(line: LogLine, fields: LogFields | undefined): string {
  const own = {
    time: new Date(line.time).toISOString(),
    level: line.level,
    ...(line.name === undefined ? {} : { name: line.name }),
    msg: redactValue(line.message),
  };
  // Own keys last, so that a field cannot pass for the time, level or message of the line.
  return JSON.stringify({ ...own, ...clean(fields), ...own });
}

function printTextLine(line: LogLine, fields: LogFields | undefined, colors: boolean): string {
  const time = new Date(line.time).toISOString().slice(11, 23);
  const word = line.level.toUpperCase().padEnd(5);
  const level = colors ? `${levelColors[line.level]}${word}\u001b[39m` : word;
  const name = line.name === undefined ? "" : ` ${line.name}:`;
  const tail = Object.entries(clean(fields)).map(([k, v]) => ` ${k}=${printTextValue(v)}`);
  return `${time} ${level}${name} ${printable(String(redactValue(line.message)))}${tail.join("")}`;
}

/** What a line of either format says, without when, who and fields of JSON; a line of another make as it is. */
export function messageOfLine(line: string): string {
  if (line.startsWith("{")) {
    try {
      const { msg } = JSON.parse(line) as { readonly msg?: unknown };
      if (typeof msg === "string") return msg;
    } catch {
      return line;
    }
  }
  return line.replace(/^\d\d:\d\d:\d\d\.\d{3} \S+ +(?:\S+: )?/, "");
}

function printTextValue(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "undefined");
  return typeof value === "string" && (text === "" || /[\s"=]/.test(text)) ? JSON.stringify(text) : printable(text);
}

/** Control characters of foreign text must not reach a terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (c) => (c === "\n" ? "\\n" : `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`));
}

function clean(fields: LogFields | undefined): Record<string, unknown> {
  return fields === undefined ? {} : (redactValue(fields) as Record<string, unknown>);
}

const levelColors: Readonly<Record<LogLevel, string>> = {
  debug: "\u001b[90m",
  info: "\u001b[32m",
  warn: "\u001b[33m",
  error: "\u001b[31m",
};

function stderrDeps(): LoggerDeps {
  const colors = process.stderr.isTTY && process.env["NO_COLOR"] === undefined && process.env["TERM"] !== "dumb";
  return { write: (line) => process.stderr.write(line), now: Date.now, colors };
}
