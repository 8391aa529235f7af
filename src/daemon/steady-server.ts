import { printHostPort } from "../base/ip.ts";
import type { Running } from "../base/running.ts";
import { findListener } from "../kernel/listener.ts";
import { type ObserveServer, type ObserveServerOptions, startObserveServer } from "../observe/http-endpoint.ts";
import type { Log } from "../observe/log.ts";
import { ConfigFileError } from "./configured.ts";

/** How long until an address that could not be had is tried again. Milliseconds. */
const tryAgain = 5000;

export interface SteadyServerOptions extends ObserveServerOptions {
  /** What is served, in words: `metrics`. */
  readonly what: string;
  /** An address that cannot be had rejects `ready`, instead of being asked for again and again. */
  readonly hardFail?: boolean | undefined;
}

/**
 * An observe server for a node that goes on without it: an address that another program has is told once, with that program's
 * name, and tried until it is free. `ready` settles at the first try, whatever came of it.
 */
export function startSteadyServer({ what, hardFail = false, ...options }: SteadyServerOptions, log: Log): Running {
  let server: ObserveServer | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let told = false;
  const where = printHostPort(options.bind, options.port);
  const start = async (): Promise<void> => {
    const starting = startObserveServer(options);
    server = starting;
    try {
      await starting.ready;
      if (told) log("info", `${what} is served at ${where} now`);
    } catch (error) {
      const why = reason(options, error);
      if (hardFail) throw new ConfigFileError(`${what} cannot be served at ${where}: ${why}`);
      if (!told) log("warn", `${what} cannot be served at ${where}: ${why}; trying on`);
      told = true;
      if (!closed) timer = setTimeout(() => void start(), tryAgain).unref();
    }
  };
  const ready = start();
  ready.catch(() => undefined);
  return {
    ready,
    close: async () => {
      closed = true;
      clearTimeout(timer);
      await server?.close();
    },
  };
}

function reason({ bind, port }: ObserveServerOptions, error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "EADDRNOTAVAIL") return "this machine does not have that address";
  if (code !== "EADDRINUSE") return error instanceof Error ? error.message : String(error);
  const who = findListener({ ip: bind, port, type: "tcp" });
  return who === undefined ? "another program has it" : `process ${who.pid} (${who.command}) has it`;
}
