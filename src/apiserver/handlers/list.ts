import { isRecord } from "../../api/json-value.ts";
import { ApiError, badRequest, gone } from "../../api/status-error.ts";
import type { Status } from "../../api/types/meta-v1.generated.ts";
import type { CacheEntry } from "../../store/cache-table.ts";
import { hasStoreCode } from "../../store/errors.ts";
import type { Rev } from "../../store/store.ts";
import type { Answer } from "../answer.ts";
import type { Call } from "../call.ts";
import { prefixOf } from "../registry.ts";
import { representList } from "../representation.ts";
import { isSelected, type Selection, selectionOf, selectsAll } from "../selection.ts";
import { shownBytes } from "../view.ts";
import { formFor } from "./answer-object.ts";
import { waitForRevision } from "./revision.ts";

/** Where a list goes on: at which revision, behind which key. */
interface Continue {
  readonly rev: Rev;
  readonly after: string;
}

export async function listObjects(call: Call): Promise<Answer> {
  const { resource, query } = call;
  const { registry } = call.context;
  const form = formFor(call);
  const selection = selectionOf(call.view, call.info.namespace, query);
  const limit = parseLimit(query.get("limit"));
  const from = parseContinue(query.get("continue"));
  const asked = await askedRevision(call, from);
  const table = registry.table(resource);
  // Nothing of this resource changed since: what is current is what was then.
  const past = asked !== undefined && table.lastChange > asked ? asked : undefined;
  const rev = asked ?? registry.cache.rev;
  const entries = past === undefined ? table.range(selection.prefix, from?.after) : await entriesAt(call, past, selection, from?.after);
  const page: Uint8Array[] = [];
  let last = "";
  let more = false;
  let seen = 0;
  for (const entry of entries) {
    if (!isSelected(selection, entry)) {
      seen++;
      continue;
    }
    if (limit > 0 && page.length === limit) {
      more = true;
      break;
    }
    page.push(entry.bytes);
    last = entry.key;
    seen++;
  }
  call.context.passed(seen);
  const listMeta = {
    resourceVersion: String(rev),
    ...(more ? { continue: printContinue({ rev, after: last }) } : {}),
    ...(more && selectsAll(selection) ? { remainingItemCount: entries.length - seen } : {}),
  };
  return {
    kind: "bytes",
    status: 200,
    type: "application/json",
    body: representList(
      call.view.resource,
      page.map((bytes) => shownBytes(call.view, bytes)),
      listMeta,
      form,
    ),
  };
}

/** The revision that the list must be of exactly; undefined = the current one. */
async function askedRevision(call: Call, from: Continue | undefined): Promise<Rev | undefined> {
  const { query } = call;
  const match = query.get("resourceVersionMatch") ?? "";
  const version = query.get("resourceVersion") ?? "";
  if (from !== undefined) {
    if (version !== "" && version !== "0") throw badRequest("specifying resource version is not allowed when using continue");
    return from.rev < 0 ? undefined : from.rev;
  }
  if (match !== "" && version === "")
    throw invalidOption("resourceVersionMatch", "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided");
  if (!["", "Exact", "NotOlderThan"].includes(match)) {
    throw invalidOption(
      "resourceVersionMatch",
      `Unsupported value: ${JSON.stringify(match)}: supported values: "Exact", "NotOlderThan", ""`,
    );
  }
  if (match === "Exact" && version === "0")
    throw invalidOption("resourceVersionMatch", 'Forbidden: resourceVersionMatch "Exact" is forbidden for resourceVersion "0"');
  const rev = await waitForRevision(call.context, version);
  // With a limit and no rule, a revision means exactly that one.
  const exact = match === "Exact" || (match === "" && (query.get("limit") ?? "0") !== "0" && version !== "0");
  return exact && rev !== undefined ? rev : undefined;
}

async function entriesAt(call: Call, rev: Rev, selection: Selection, after: string | undefined): Promise<readonly CacheEntry[]> {
  const { registry } = call.context;
  const table = registry.table(call.resource);
  const prefix = prefixOf(call.resource);
  try {
    const page = await registry.store.list(prefix + selection.prefix, {
      at: rev,
      ...(after === undefined ? {} : { after: prefix + after }),
    });
    return page.items.map((item) => table.entryOf(item.key.slice(prefix.length), item.rev, item.value));
  } catch (error) {
    if (!hasStoreCode(error, "compacted")) throw error;
    if (after === undefined) throw gone("The resourceVersion for the provided list is too old.");
    throw new ExpiredContinue(after);
  }
}

/** The token that it tells goes on with what is current. */
class ExpiredContinue extends ApiError {
  readonly #after: string;

  constructor(after: string) {
    super(
      410,
      "Expired",
      "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, " +
        "or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list.",
    );
    this.#after = after;
  }

  override toStatus(): Status {
    return { ...super.toStatus(), metadata: { continue: printContinue({ rev: -1, after: this.#after }) } };
  }
}

export function invalidOption(field: string, why: string): ApiError {
  return new ApiError(422, "Invalid", `ListOptions.meta.k8s.io "" is invalid: ${field}: ${why}`, {
    group: "meta.k8s.io",
    kind: "ListOptions",
    causes: [{ reason: "FieldValueForbidden", message: why, field }],
  });
}

function parseLimit(text: string | null): number {
  if (text === null || text === "") return 0;
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 0) throw badRequest(`limit: Invalid value: ${JSON.stringify(text)}`);
  return limit;
}

function printContinue(from: Continue): string {
  return Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv: from.rev, start: from.after })).toString("base64url");
}

function parseContinue(text: string | null): Continue | undefined {
  if (text === null || text === "") return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString());
    if (isRecord(value) && typeof value["rv"] === "number" && typeof value["start"] === "string")
      return { rev: value["rv"], after: value["start"] };
  } catch {
    // told below
  }
  throw badRequest("continue key is not valid");
}
