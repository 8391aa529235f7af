import type { Running } from "../base/running.ts";
import type { Log } from "../observe/log.ts";
import { ChildRefusal } from "./child.ts";

/** What the parent of a role's process (a supervisor or `up`) may tell it. */
export type FromParent = { readonly type: "stop" } | { readonly type: "retire" };

/** What may be told to `retire`: to take no new work, and to end when what it has is done. */
export interface Retiring extends Running {
  retire?(): Promise<void>;
  /** Settles when it has nothing left to do, which ends the process. */
  readonly over?: Promise<void>;
}

/**
 * Runs one role to the end of its process. SIGTERM, SIGINT, the parent's `stop` and the parent's death end it, also while it
 * retires; a second signal ends it at once. `onStop` runs only when the parent asked for a whole stop, before the role closes.
 */
export async function runRole(log: Log, start: () => Retiring | Promise<Retiring>, onStop?: () => Promise<void>): Promise<void> {
  const end = Promise.withResolvers<"signal" | "stop" | "orphan" | "retired" | "over">();
  let signals = 0;
  const onSignal = (): void => {
    signals++;
    if (signals > 1) process.exit(1);
    end.resolve("signal");
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  process.on("disconnect", () => end.resolve("orphan"));
  process.on("message", (m) => {
    if (isFromParent(m, "stop")) end.resolve("stop");
    else if (isFromParent(m, "retire")) (running?.retire?.() ?? Promise.resolve()).then(() => end.resolve("retired"), onSignal);
  });
  let running: Retiring | undefined;
  try {
    running = await Promise.race([start(), end.promise.then(() => undefined)]);
    running?.over?.then(() => end.resolve("over"), onSignal);
    await Promise.race([running?.ready.then(() => tellParent({ type: "ready" })), end.promise]);
    const why = await end.promise;
    if (why === "stop") await onStop?.();
  } catch (error) {
    if (!(error instanceof ChildRefusal)) log("error", error instanceof Error ? error.message : String(error));
    process.exitCode = onlyFailsAgain(error) ? 2 : 1;
  }
  await running?.close();
  process.exit();
}

/** A backend that this machine cannot have, and what was configured wrong, stay so: a parent gives up instead of trying on. */
function onlyFailsAgain(error: unknown): boolean {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  return code === "Input" || (code === "UNUSABLE" && process.send !== undefined);
}

/** Nothing happens without a parent that listens. */
export function tellParent(message: object): void {
  if (process.connected) process.send?.(message);
}

function isFromParent(message: unknown, type: FromParent["type"]): boolean {
  return typeof message === "object" && message !== null && "type" in message && message.type === type;
}

/** The configuration a supervisor gave its child in the environment; see `roleEnvironment`. */
export function roleConfig<T>(): T {
  const text = process.env[configVariable];
  if (text === undefined) throw new Error("this command is started by `fairway daemon`, not by hand");
  return JSON.parse(text) as T;
}

export function roleEnvironment(config: object): Record<string, string> {
  return { [configVariable]: JSON.stringify(config) };
}

const configVariable = "FAIRWAY_ROLE_CONFIG";
