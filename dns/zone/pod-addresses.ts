import type { Pod } from "../../src/api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../../src/api/types/discovery-v1.generated.ts";
import { type Ip, parseIp } from "../../src/base/ip.ts";
import { type Batch, importOfSlice, type Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import type { Exposure } from "./exposure.ts";

/** An address that a pod of a namespace has. */
export interface PodAddress {
  readonly namespace: string;
  readonly ip: Ip;
}

/**
 * Which addresses pods have, by Pods and by slices (an endpoint that names its Pod), whichever of them a snapshot holds: a
 * node's own Pods and the slices of all Services tell it, where a watch of every Pod on every node would be dear.
 */
export class PodAddresses {
  readonly #exposure: Exposure;
  /** How many objects say so, by namespace and address. */
  readonly #said = new Map<string, number>();

  constructor(exposure: Exposure) {
    this.#exposure = exposure;
  }

  has({ namespace, ip }: PodAddress): boolean {
    return this.#said.has(`${namespace} ${ip}`);
  }

  *all(): Iterable<PodAddress> {
    for (const key of this.#said.keys()) yield parseKey(key);
  }

  /** Takes a batch; the result is what came or went. */
  apply(batch: Batch): readonly PodAddress[] {
    const turned = new Set(this.#exposure.turned(batch));
    const known = new Map<string, boolean>();
    const count = (snapshot: Snapshot, by: number): void => {
      for (const key of this.#keysOf(batch, snapshot, turned)) {
        const n = this.#said.get(key) ?? 0;
        if (!known.has(key)) known.set(key, n > 0);
        if (n + by === 0) this.#said.delete(key);
        else this.#said.set(key, n + by);
      }
    };
    count(batch.before, -1);
    count(batch.after, 1);
    const changed: PodAddress[] = [];
    for (const [key, before] of known) if (this.#said.has(key) !== before) changed.push(parseKey(key));
    return changed;
  }

  /** What one side of a batch says, of the objects that the batch may have changed. */
  *#keysOf(batch: Batch, snapshot: Snapshot, turned: ReadonlySet<string>): Iterable<string> {
    const { Pod: pods, EndpointSlice: slices } = snapshot.tables;
    for (const key of changedKeys(batch.dirty.get("Pod"), pods.keys(), turned)) {
      const pod = pods.get(key);
      if (pod !== undefined && this.#exposure.hasObject(snapshot, pod.metadata)) yield* podKeys(pod);
    }
    for (const key of changedKeys(batch.dirty.get("EndpointSlice"), slices.keys(), turned)) {
      const slice = slices.get(key);
      // pods of other clusters are none of this one's
      if (slice !== undefined && importOfSlice(slice) === undefined && this.#exposure.hasObject(snapshot, slice.metadata))
        yield* sliceKeys(slice);
    }
  }
}

function changedKeys(dirty: ReadonlySet<string> | undefined, all: Iterable<string>, turned: ReadonlySet<string>): Iterable<string> {
  if (turned.size === 0) return dirty ?? [];
  const keys = new Set(dirty);
  for (const key of all) if (turned.has(key.split("/")[0] ?? "")) keys.add(key);
  return keys;
}

/** A pod that ends or has ended no longer has its address; one of the host's network never had one of its own. */
function podKeys({ metadata, spec, status }: Pod): readonly string[] {
  const isOver = metadata?.deletionTimestamp !== undefined || status?.phase === "Succeeded" || status?.phase === "Failed";
  if (isOver || spec?.hostNetwork === true) return [];
  const texts = new Set([status?.podIP, ...(status?.podIPs ?? []).map((p) => p.ip)]);
  return Array.from(texts).flatMap((text) => keyOf(metadata?.namespace ?? "", text));
}

/** Of a slice, a Pod's address counts in whatever state its endpoint is: it is the Pod that has it. */
function sliceKeys({ metadata, endpoints }: EndpointSlice): readonly string[] {
  const keys = new Set<string>();
  for (const { targetRef, addresses } of endpoints ?? []) {
    if (targetRef?.name === undefined || (targetRef.kind !== undefined && targetRef.kind !== "Pod")) continue;
    for (const text of addresses ?? []) for (const key of keyOf(metadata?.namespace ?? "", text)) keys.add(key);
  }
  return Array.from(keys);
}

function keyOf(namespace: string, text: string | undefined): readonly string[] {
  const ip = text === undefined ? undefined : parseIp(text);
  return ip === undefined ? [] : [`${namespace} ${ip}`];
}

function parseKey(key: string): PodAddress {
  const [namespace = "", ip = ""] = key.split(" ");
  return { namespace, ip };
}
