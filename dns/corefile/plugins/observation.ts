import type { DomainName } from "../../wire/name.ts";
import type { Directive } from "../corefile.ts";
import { badValue, readOptions, type Words, wordsOf } from "../words.ts";
import { type BlockContext, type HttpAddress, readHttpAddress, zonesOr } from "./block-context.ts";

export interface ErrorsConfig {
  readonly plugin: "errors";
  /** Messages that match are counted and told once in a while. */
  readonly consolidate: readonly {
    readonly every: number;
    readonly pattern: RegExp;
    readonly level: "debug" | "info" | "warn" | "error";
    readonly showFirst: boolean;
  }[];
}

const errorLevels = { warning: "warn", error: "error", info: "info", debug: "debug" } as const;

export function readErrors(d: Directive): ErrorsConfig {
  wordsOf(d).end();
  const consolidate: ErrorsConfig["consolidate"][number][] = [];
  readOptions(d, {
    stacktrace: () => {},
    consolidate: (w) => {
      const every = w.duration("a time");
      const pattern = w.regexOf(w.take("a pattern"));
      let level: ErrorsConfig["consolidate"][number]["level"] = "error";
      let showFirst = false;
      while (w.left > 0) {
        const word = w.choice(["warning", "error", "info", "debug", "show_first"]);
        if (word === "show_first") showFirst = true;
        else level = errorLevels[word];
      }
      consolidate.push({ every, pattern, level, showFirst });
    },
  });
  return { plugin: "errors", consolidate };
}

export type LogClass = "success" | "denial" | "error" | "all";

export interface LogConfig {
  readonly plugin: "log";
  readonly zones: readonly DomainName[];
  readonly format: string;
  readonly classes: readonly LogClass[];
}

export const commonLogFormat =
  '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" {rcode} {>rflags} {rsize} {duration}';
export const combinedLogFormat = `${commonLogFormat} "{>opcode}"`;

export function readLog(d: Directive, block: BlockContext): LogConfig {
  const words = wordsOf(d);
  const given = words.rest();
  const formats = given.filter((w) => w.includes("{"));
  if (formats.length > 1) badValue(d, "log: give one format, in quotes");
  const zones = given.filter((w) => !w.includes("{")).flatMap((w) => words.zoneOf(w));
  const format = (formats[0] ?? "{common}").replaceAll("{common}", commonLogFormat).replaceAll("{combined}", combinedLogFormat);
  const classes: LogClass[] = [];
  readOptions(d, {
    class: (w) => {
      for (classes.push(w.choice(["success", "denial", "error", "all"])); w.left > 0; )
        classes.push(w.choice(["success", "denial", "error", "all"]));
    },
  });
  return { plugin: "log", zones: zones.length === 0 ? block.zones : zones, format, classes: classes.length === 0 ? ["all"] : classes };
}

export interface HealthConfig {
  readonly plugin: "health";
  readonly address: HttpAddress;
  /** Milliseconds between being told to end and ending, in which it says it is unhealthy and still answers. */
  readonly lameduck: number;
}

export function readHealth(d: Directive): HealthConfig {
  const words = wordsOf(d);
  const address = readHttpAddress(words, { host: "", port: 8080 });
  words.end();
  let lameduck = 0;
  readOptions(d, { lameduck: (w) => void (lameduck = w.duration("a time")) });
  return { plugin: "health", address, lameduck };
}

export interface ReadyConfig {
  readonly plugin: "ready";
  readonly address: HttpAddress;
  /** Once ready, ready for good; else readiness is told as it is. */
  readonly monitor: "until-ready" | "continuously";
}

export function readReady(d: Directive): ReadyConfig {
  const words = wordsOf(d);
  const address = readHttpAddress(words, { host: "", port: 8181 });
  words.end();
  let monitor: ReadyConfig["monitor"] = "until-ready";
  readOptions(d, { monitor: (w) => void (monitor = w.choice(["until-ready", "continuously"])) });
  return { plugin: "ready", address, monitor };
}

export interface PrometheusConfig {
  readonly plugin: "prometheus";
  readonly address: HttpAddress;
}

export function readPrometheus(d: Directive): PrometheusConfig {
  const words = wordsOf(d);
  const address = readHttpAddress(words, { host: "127.0.0.1", port: 9153 });
  words.end();
  // numbers of a Go program's runtime: there is none
  readOptions(d, { runtime_metrics: () => {} });
  return { plugin: "prometheus", address };
}

/** Puts facts about a query at the disposal of other plugins. */
export interface MetadataConfig {
  readonly plugin: "metadata";
  readonly zones: readonly DomainName[];
}

export function readMetadata(d: Directive, block: BlockContext): MetadataConfig {
  const words: Words = wordsOf(d);
  readOptions(d, {});
  return { plugin: "metadata", zones: zonesOr(words, block) };
}
