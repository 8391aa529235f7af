import type { HeaderConfig } from "../corefile/plugins/records.ts";
import type { Message } from "../wire/message.ts";
import type { Wrap } from "./handler.ts";

const fields = { aa: "authoritative", ra: "recursionAvailable", rd: "recursionDesired" } as const;

/** Sets and clears flags: of queries before other plugins see them, of answers before clients do. */
export function changeHeader(config: HeaderConfig): Wrap {
  const change = (m: Message, of: "query" | "response"): Message => {
    let changed = m;
    for (const { set, flags } of config.changes.filter((x) => x.of === of)) {
      for (const flag of flags) changed = { ...changed, [fields[flag]]: set };
    }
    return changed;
  };
  return (next) => async (q, c) => change(await next({ ...q, message: change(q.message, "query") }, c), "response");
}
