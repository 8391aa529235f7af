import { apiVersionOf } from "../../api/scheme.ts";
import { type ApiError, badRequest, gone } from "../../api/status-error.ts";
import type { CacheEvent, Turn } from "../../store/cache-table.ts";
import { eventLine } from "../../store/cache-table.ts";
import type { Rev } from "../../store/store.ts";
import type { Answer, Outlet } from "../answer.ts";
import type { Call } from "../call.ts";
import { type Form, representObject } from "../representation.ts";
import { isSelected, type Selection, selectionOf } from "../selection.ts";
import { turnOf } from "../turn.ts";
import { shownBytes } from "../view.ts";
import { formFor } from "./answer-object.ts";
import { invalidOption } from "./list.ts";
import { parseRevision, waitForRevision } from "./revision.ts";

const bookmarkEvery = 60_000;
/** A watcher that has not taken this much is cut off: it can start again where it was. */
const maxWaiting = 32 << 20;
const batchBytes = 128 << 10;
const initialEventsEnd = "k8s.io/initial-events-end";

interface Watching {
  readonly call: Call;
  readonly selection: Selection;
  readonly form: Form;
  readonly bookmarks: "bookmarks" | "no-bookmarks";
  readonly timeout: number;
  /** Whether what is there comes first, and whether its end is told. */
  readonly initial: "none" | "events" | "events-and-end";
  readonly after: Rev | undefined;
  readonly turn: Turn;
}

/** A stream of changes, from a revision on or beginning with what is there. */
export async function watchObjects(call: Call): Promise<Answer> {
  const { query } = call;
  const initial = initialOf(query);
  const rev =
    initial === "none" ? parseRevision(query.get("resourceVersion")) : await waitForRevision(call.context, query.get("resourceVersion"));
  const watching: Watching = {
    call,
    selection: withName(selectionOf(call.view, call.info.namespace, query), call.info.name),
    form: formFor(call),
    bookmarks: isTrue(query.get("allowWatchBookmarks")) ? "bookmarks" : "no-bookmarks",
    timeout: timeoutOf(query.get("timeoutSeconds"), call.context.random),
    initial,
    after: rev,
    turn: turnOf(call.headers["priority"]),
  };
  return { kind: "stream", type: "application/json", turn: watching.turn, run: (out, signal) => run(watching, out, signal) };
}

async function run(watching: Watching, out: Outlet, signal: AbortSignal): Promise<void> {
  const { call, selection, bookmarks } = watching;
  const { registry } = call.context;
  const table = registry.table(call.resource);
  const lines = new Lines(watching, out);
  const ended = new AbortController();
  const stop = (): void => ended.abort();
  // The list and the listener are of one moment: nothing can come in between.
  const after = watching.initial === "none" ? (watching.after ?? 0) : Math.max(registry.cache.rev, table.lastChange);
  const there = watching.initial === "none" ? [] : table.range(selection.prefix);
  // What happens while the list is still on its way comes behind it.
  let held: CacheEvent[] | undefined = watching.initial === "none" ? undefined : [];
  let heldBytes = 0;
  let behind = false;
  const unsubscribe = table.subscribe(
    after,
    (event) => {
      if (behind) return;
      if (held === undefined) lines.event(event);
      else {
        held.push(event);
        heldBytes += (event.current ?? event.previous)?.size ?? 0;
      }
      if (out.waiting + heldBytes <= maxWaiting) return;
      behind = true;
      stop();
    },
    watching.turn,
  );
  if (unsubscribe === "too-old") {
    lines.error(gone(`too old resource version: ${after} (${table.oldest})`));
    return;
  }
  const { clock } = call.context;
  clock.sleep(watching.timeout, ended.signal).then(stop, stop);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    for (const entry of there) {
      if (isSelected(selection, entry) && lines.initial(entry.bytes)) await out.drained(ended.signal);
      if (ended.signal.aborted) break;
    }
    call.context.passed(there.length);
    there.length = 0;
    if (!ended.signal.aborted) {
      lines.flush();
      if (watching.initial === "events-and-end") lines.bookmark(after, { [initialEventsEnd]: "true" });
      for (const event of held ?? []) lines.event(event);
      held = undefined;
      heldBytes = 0;
    }
    while (!ended.signal.aborted) {
      await clock.sleep(bookmarkEvery, ended.signal).catch(() => undefined);
      // At its end too: the client goes on from there.
      if (!signal.aborted && !behind && held === undefined && bookmarks === "bookmarks") lines.bookmark(registry.cache.rev);
    }
  } finally {
    unsubscribe();
    signal.removeEventListener("abort", stop);
  }
  // Breaks the connection off: ending it in order would keep all that waits until the client has taken it.
  if (behind) throw new Error(`a watcher of ${call.resource.plural} is ${out.waiting + heldBytes} bytes behind`);
}

/** Writes events in the form the watcher asked for; those as objects were encoded once for all watchers. */
class Lines {
  readonly #watching: Watching;
  readonly #out: Outlet;
  #batch: Uint8Array[] = [];
  #batchSize = 0;
  #columnsSent = false;

  constructor(watching: Watching, out: Outlet) {
    this.#watching = watching;
    this.#out = out;
  }

  event(event: CacheEvent): void {
    const { call, selection, form } = this.#watching;
    const type = event.typeFor((entry) => isSelected(selection, entry));
    if (type !== undefined)
      this.#out.write(form.kind === "object" && call.view.form === "as-stored" ? event.line(type) : this.#line(type, event.object(type)));
  }

  /** Many come at once: they are written in large pieces. True when one has gone out. */
  initial(bytes: Uint8Array): boolean {
    const line = this.#line("ADDED", bytes);
    this.#batch.push(line);
    this.#batchSize += line.length;
    if (this.#batchSize < batchBytes) return false;
    this.flush();
    return true;
  }

  flush(): void {
    if (this.#batch.length > 0) this.#out.write(Buffer.concat(this.#batch));
    this.#batch = [];
    this.#batchSize = 0;
  }

  bookmark(rev: Rev, annotations?: Readonly<Record<string, string>>): void {
    const { resource } = this.#watching.call.view;
    const metadata = { resourceVersion: String(rev), creationTimestamp: null, ...(annotations === undefined ? {} : { annotations }) };
    const kind =
      this.#watching.form.kind === "metadata"
        ? { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1" }
        : { kind: resource.kind, apiVersion: apiVersionOf(resource) };
    this.#out.write(eventLine("BOOKMARK", encode({ ...kind, metadata })));
  }

  error(error: ApiError): void {
    this.#out.write(eventLine("ERROR", encode(error.toStatus())));
  }

  #line(type: string, bytes: Uint8Array): Uint8Array {
    const { call, form: asked } = this.#watching;
    // Ages are of the moment that the event is told.
    const form = asked.kind === "table" ? { ...asked, now: call.context.clock.now() } : asked;
    const body = representObject(call.view.resource, shownBytes(call.view, bytes), form, this.#columnsSent ? "rows-only" : "with-columns");
    this.#columnsSent = true;
    return eventLine(type, body);
  }
}

function initialOf(query: URLSearchParams): Watching["initial"] {
  const version = query.get("resourceVersion") ?? "";
  const match = query.get("resourceVersionMatch") ?? "";
  const send = query.get("sendInitialEvents");
  if (send === null) {
    if (match !== "")
      throw invalidOption(
        "resourceVersionMatch",
        "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
      );
    return version === "" || version === "0" ? "events" : "none";
  }
  if (match !== "NotOlderThan") {
    throw invalidOption("resourceVersionMatch", "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
  }
  if (!isTrue(send)) return version === "" || version === "0" ? "events" : "none";
  if (!isTrue(query.get("allowWatchBookmarks"))) {
    throw invalidOption("allowWatchBookmarks", "Forbidden: sendInitialEvents requires setting allowWatchBookmarks to true");
  }
  return "events-and-end";
}

function isTrue(text: string | null): boolean {
  return text === "true" || text === "1";
}

/** Half an hour to an hour when not asked for, so that watchers spread over servers again. */
function timeoutOf(text: string | null, random: () => number): number {
  if (text === null || text === "" || text === "0") return (1800 + random() * 1800) * 1000;
  const seconds = Number(text);
  if (!Number.isInteger(seconds) || seconds < 0) throw badRequest(`timeoutSeconds: Invalid value: ${JSON.stringify(text)}`);
  return Math.min(seconds, 86_400) * 1000;
}

/** `watch` on a single name is a field selector in other words. */
function withName(selection: Selection, name: string): Selection {
  return name === "" ? selection : { ...selection, fields: [...selection.fields, { field: "metadata.name", equal: true, value: name }] };
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
