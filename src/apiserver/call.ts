import type { IncomingHttpHeaders } from "node:http";
import { notSupported } from "../api/field-error.ts";
import type { Resource } from "../api/scheme.ts";
import { invalidOptions } from "../api/status-error.ts";
import type { Cidr } from "../base/cidr.ts";
import type { Clock } from "../base/clock.ts";
import type { TokenIssuer } from "./authn/token-issuer.ts";
import type { KeyedTurns } from "./keyed-turns.ts";
import type { NodeTransport } from "./node-transport.ts";
import type { Registry } from "./registry.ts";
import type { ResourceRequest } from "./request-info.ts";
import type { ServiceAddresses } from "./services/service-addresses.ts";
import type { User } from "./user.ts";
import type { View } from "./view.ts";

export type Log = (level: "debug" | "info" | "warn" | "error", message: string, fields?: Readonly<Record<string, unknown>>) => void;

/** What handlers work with. */
export interface ApiContext {
  readonly registry: Registry;
  readonly addresses: ServiceAddresses;
  /** What may not happen at the same time: by `services/<key>`, `evictions/<namespace>`. */
  readonly turns: KeyedTurns;
  readonly tokens: TokenIssuer;
  readonly nodes: NodeTransport;
  /** What of 127.0.0.0/8 pods may have: plain mode's own range, absent elsewhere. */
  readonly loopback: Cidr | undefined;
  readonly clock: Clock;
  readonly random: () => number;
  readonly newUid: () => string;
  readonly log: Log;
  /** Hears how many objects passed through: what that leaves behind can be collected when it is quiet again. */
  readonly passed: (objects: number) => void;
}

/** One request for objects, authenticated and authorized. */
export interface Call {
  readonly context: ApiContext;
  readonly info: ResourceRequest;
  /** What it is stored as. */
  readonly resource: Resource;
  /** What the client calls it and sees. */
  readonly view: View;
  readonly method: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly user: User;
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
  /** The whole body; refuses one that is too large with 413. */
  body(): Promise<Uint8Array>;
  /** Told to the client in a Warning header. */
  warn(text: string): void;
}

export type OptionsKind = "CreateOptions" | "UpdateOptions" | "PatchOptions" | "DeleteOptions";

/** What the options of a call are called where they are wrong. */
export function optionsKindOf({ info: { verb } }: Call): OptionsKind {
  if (verb === "create") return "CreateOptions";
  return verb === "update" ? "UpdateOptions" : verb === "patch" ? "PatchOptions" : "DeleteOptions";
}

/** `dryRun=All`: everything but the write. */
export function isDryRun(kind: OptionsKind, values: readonly string[]): boolean {
  const given = values.filter((value) => value !== "");
  for (const value of given) if (value !== "All") throw invalidOptions(kind, [notSupported("dryRun", value, ["All"])]);
  return given.length > 0;
}

let lastSecond = Number.NaN;
let lastText = "";

/** Whole seconds, as times in objects are. */
export function timestamp(clock: Clock, plusSeconds = 0): string {
  const second = Math.floor(clock.now() / 1000 + plusSeconds);
  // thousands of objects are made in one second
  if (second !== lastSecond) {
    lastSecond = second;
    lastText = `${new Date(second * 1000).toISOString().slice(0, 19)}Z`;
  }
  return lastText;
}
