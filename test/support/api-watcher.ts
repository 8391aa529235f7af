import { createClient } from "../../src/client/client.ts";
import { type KubeObject, type ResourceOf, resourcePath } from "../../src/client/resource.ts";
import type { Transport } from "../../src/client/transport.ts";
import { LineSplitter } from "../../src/client/watch-lines.ts";

interface WatchEvent {
  readonly type: string;
  readonly object: KubeObject & { readonly code?: number };
}

const patienceMs = 30_000;

/** A client that watches, is cut off, and goes on where it was at the next server; it minds every step that does not fit. */
export class ApiWatcher {
  readonly name: string;
  readonly faults: string[] = [];
  readonly #of: ResourceOf<KubeObject>;
  readonly #namespace: string;
  /** Versions by name, as the events say. */
  readonly #mirror = new Map<string, string>();
  #rev = 0;
  /** The versions seen since the last `reach`; undefined once a list stood in for them. */
  #seen: Set<number> | undefined = new Set();
  #events = 0;
  #relists = 0;
  #session = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #changed: () => void = () => undefined;

  constructor(name: string, of: ResourceOf<KubeObject>, namespace: string) {
    this.name = name;
    this.#of = of;
    this.#namespace = namespace;
  }

  get rev(): number {
    return this.#rev;
  }
  get events(): number {
    return this.#events;
  }
  get relists(): number {
    return this.#relists;
  }

  /** Watches at another server, from the last version that was seen. */
  follow(transport: Transport): void {
    const before = this.#running;
    this.#session.abort();
    const session = new AbortController();
    this.#session = session;
    this.#running = before.then(() => this.#watch(transport, session.signal));
  }

  /** Waits until the events amount to what `there` lists; what is not as it should be. */
  async reach(there: ReadonlyMap<string, string>, written: ReadonlyMap<number, string>): Promise<readonly string[]> {
    const until = performance.now() + patienceMs;
    while (!sameMap(this.#mirror, there) && performance.now() < until) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
        setTimeout(resolve, 100);
      });
    }
    const wrong: string[] = [];
    for (const name of new Set([...this.#mirror.keys(), ...there.keys()])) {
      const [mine, theirs] = [this.#mirror.get(name), there.get(name)];
      if (mine !== theirs) wrong.push(`${this.name} has ${name} at ${mine}, the list at ${theirs}`);
    }
    for (const [rev, name] of written) if (this.#seen?.has(rev) === false) wrong.push(`${this.name} never saw ${name} at ${rev}`);
    this.#seen = new Set();
    return wrong;
  }

  async close(): Promise<void> {
    this.#session.abort();
    await this.#running;
  }

  async #watch(transport: Transport, signal: AbortSignal): Promise<void> {
    try {
      if (this.#rev === 0) await this.#list(transport, signal);
      const query = { watch: true, allowWatchBookmarks: true, resourceVersion: this.#rev };
      const path = resourcePath(this.#of, { namespace: this.#namespace, query });
      const response = await transport.request({ method: "GET", path }, signal);
      if (response.status !== 200) {
        this.faults.push(`${this.name}: resuming at ${this.#rev} was answered with ${response.status}`);
        return;
      }
      const splitter = new LineSplitter(1 << 24);
      for await (const chunk of response.body) {
        for (const line of splitter.push(chunk)) {
          const event = JSON.parse(line) as WatchEvent;
          if (event.type === "ERROR" && event.object.code === 410) {
            this.#rev = 0;
            return this.#watch(transport, signal);
          }
          this.#take(event);
        }
      }
    } catch {
      // the server was killed, or this watch is to go on elsewhere
    }
  }

  async #list(transport: Transport, signal: AbortSignal): Promise<void> {
    const { items, rev } = await createClient(transport).list(this.#of, { namespace: this.#namespace }, signal);
    this.#mirror.clear();
    for (const { metadata } of items) this.#mirror.set(metadata?.name ?? "", metadata?.resourceVersion ?? "");
    this.#rev = Number(rev);
    this.#relists++;
    this.#seen = undefined;
    this.#changed();
  }

  #take({ type, object }: WatchEvent): void {
    this.#events++;
    const { name = "", resourceVersion = "" } = object.metadata ?? {};
    const rev = Number(resourceVersion);
    const known = this.#mirror.has(name);
    if (type === "BOOKMARK" ? rev < this.#rev : rev <= this.#rev)
      this.faults.push(`${this.name}: ${type} ${name} at ${rev} after ${this.#rev}`);
    this.#rev = rev;
    if (type === "BOOKMARK") return;
    if (known === (type === "ADDED")) this.faults.push(`${this.name}: ${type} ${name} at ${rev}, which ${known ? "was" : "was not"} there`);
    this.#seen?.add(rev);
    if (type === "DELETED") this.#mirror.delete(name);
    else this.#mirror.set(name, resourceVersion);
    this.#changed();
  }
}

function sameMap(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}
