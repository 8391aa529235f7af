import { readFileSync, statSync } from "node:fs";
import { type Clock, systemClock } from "../base/clock.ts";
import type { ClusterAccess } from "./cluster-access.ts";
import { ClientError } from "./errors.ts";
import { type ExecCredential, runExecPlugin } from "./exec-plugin.ts";

export interface TlsMaterial {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly serverName: string | undefined;
  readonly insecureSkipVerify: boolean;
}

/** What to send with a request, now. */
export interface Credentials {
  current(s: AbortSignal): Promise<{ readonly headers: Readonly<Record<string, string | readonly string[]>>; readonly tls: TlsMaterial }>;
  /** After a 401: true when there may be better credentials now, so that the request is worth sending again. */
  refresh(s: AbortSignal): Promise<boolean>;
}

/** A plugin's credential is renewed this long before it ends, so that no request carries one that ends on the way. */
const expiryMarginMs = 10_000;

export function createCredentials(access: ClusterAccess, deps: { readonly clock: Clock } = { clock: systemClock }): Credentials {
  const ca = textSource(access.caPem, access.caFile, "certificate authority");
  const cert = textSource(access.certPem, access.certFile, "client certificate");
  const key = textSource(access.keyPem, access.keyFile, "client key");
  const token = textSource(access.token, access.tokenFile, "token");
  let plugin: Promise<ExecCredential> | undefined;

  const fromPlugin = async (s: AbortSignal): Promise<ExecCredential | undefined> => {
    if (access.exec === undefined || access.token !== undefined || access.tokenFile !== undefined) return undefined;
    const known = plugin === undefined ? undefined : await plugin;
    if (known !== undefined && (known.expiresAt === undefined || known.expiresAt - expiryMarginMs > deps.clock.now())) return known;
    // Requests that come while the plugin runs share its answer; a failure is not kept.
    plugin = runExecPlugin(access.exec, access, s);
    try {
      return await plugin;
    } catch (e) {
      plugin = undefined;
      throw e;
    }
  };

  return {
    async current(s) {
      const given = await fromPlugin(s);
      const bearer = token()?.trim() ?? given?.token;
      const headers: Record<string, string | readonly string[]> = {};
      if (bearer !== undefined && bearer !== "") headers["authorization"] = `Bearer ${bearer}`;
      else if (access.username !== undefined) {
        headers["authorization"] = `Basic ${Buffer.from(`${access.username}:${access.password ?? ""}`).toString("base64")}`;
      }
      if (access.impersonate !== undefined) {
        headers["impersonate-user"] = access.impersonate.user;
        if (access.impersonate.groups.length > 0) headers["impersonate-group"] = access.impersonate.groups;
      }
      return {
        headers,
        tls: {
          ca: ca(),
          cert: given?.certPem ?? cert(),
          key: given?.keyPem ?? key(),
          serverName: access.tlsServerName,
          insecureSkipVerify: access.insecureSkipVerify ?? false,
        },
      };
    },
    async refresh(s) {
      if (access.exec !== undefined && plugin !== undefined) {
        plugin = undefined;
        await fromPlugin(s);
        return true;
      }
      return token.changed();
    },
  };
}

/** Text given inline, or a file that is read again when its size, time or inode changed (projected tokens are swapped by symlink). */
function textSource(text: string | undefined, file: string | undefined, what: string): (() => string | undefined) & { changed(): boolean } {
  let stamp = "";
  let content: string | undefined;
  const read = (): boolean => {
    if (text !== undefined || file === undefined) return false;
    try {
      const stat = statSync(file);
      const now = `${stat.ino} ${stat.size} ${stat.mtimeMs}`;
      if (now === stamp) return false;
      const before = content;
      content = readFileSync(file, "utf8");
      stamp = now;
      return content !== before;
    } catch (e) {
      // While a file is being replaced the old content still serves.
      if (content !== undefined) return false;
      throw new ClientError("credentials", `${what} ${file}: ${e instanceof Error ? e.message : String(e)}`, e);
    }
  };
  const source = (): string | undefined => {
    if (text !== undefined) return text;
    read();
    return content;
  };
  return Object.assign(source, { changed: read });
}
