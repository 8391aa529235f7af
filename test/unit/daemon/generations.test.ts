import { expect, test } from "vitest";
import type { SupervisedChild } from "../../../src/daemon/child.ts";
import { startGenerations } from "../../../src/daemon/generations.ts";
import { silentLog } from "../../../src/observe/log.ts";

class FakeChild implements SupervisedChild {
  readonly name: string;
  readonly process = undefined;
  readonly told: string[] = [];
  readonly #ready = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();

  constructor(name: string) {
    this.name = name;
    this.#ready.promise.catch(() => undefined);
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  serve(): void {
    this.#ready.resolve();
  }

  fail(): void {
    this.#ready.reject(new Error(`${this.name} does not start`));
  }

  end(): void {
    this.#ended.resolve();
  }

  stop(message: object, within: number): Promise<void> {
    this.told.push(`${JSON.stringify(message)} within ${within}`);
    return this.#ended.promise;
  }

  close(): Promise<void> {
    this.told.push("close");
    this.end();
    return Promise.resolve();
  }
}

function lab() {
  const children: FakeChild[] = [];
  const generations = startGenerations({ role: "ingress", names: ["ingress-1", "ingress-2"], drainMs: 1_000, log: silentLog }, (name) => {
    const child = new FakeChild(name);
    children.push(child);
    return child;
  });
  const named = (name: string): FakeChild => {
    const child = children.find((c) => c.name === name);
    if (child === undefined) throw new Error(`no ${name} among ${children.map((c) => c.name).join(", ")}`);
    return child;
  };
  return { generations, children, named };
}

const retire = '{"type":"retire"} within 6000';

test("the old generation is told to go when all of the new one serve, not before", async () => {
  const { generations, children, named } = lab();
  for (const c of children) c.serve();
  await generations.ready;
  const renewed = generations.renew();
  await Promise.resolve();
  expect(children.map((c) => c.name)).toEqual(["ingress-1", "ingress-2", "ingress-1.2", "ingress-2.2"]);
  named("ingress-1.2").serve();
  await new Promise((resolve) => setImmediate(resolve));
  expect(named("ingress-1").told).toEqual([]);
  named("ingress-2.2").serve();
  await renewed;
  expect(["ingress-1", "ingress-2", "ingress-1.2"].map((n) => named(n).told)).toEqual([[retire], [retire], []]);
  named("ingress-1").end();
  await new Promise((resolve) => setImmediate(resolve));
  await generations.close();
  // who has ended need not be told again; who still drains is
  expect(named("ingress-1").told).toEqual([retire]);
  expect(named("ingress-2").told).toContain("close");
  expect(named("ingress-1.2").told).toContain("close");
});

test("a new generation that cannot start leaves the old one as it was, and the next renewal may do better", async () => {
  const { generations, children, named } = lab();
  for (const c of children) c.serve();
  const first = generations.renew();
  await new Promise((resolve) => setImmediate(resolve));
  named("ingress-1.2").serve();
  named("ingress-2.2").fail();
  await expect(first).rejects.toThrow("ingress-2.2 does not start");
  expect(named("ingress-1.2").told).toEqual(["close"]);
  expect(named("ingress-1").told).toEqual([]);
  const second = generations.renew();
  await new Promise((resolve) => setImmediate(resolve));
  named("ingress-1.3").serve();
  named("ingress-2.3").serve();
  await second;
  expect(named("ingress-1").told).toEqual([retire]);
  await generations.close();
});

test("renewals asked for at once come one after the other", async () => {
  const { generations, children, named } = lab();
  for (const c of children) c.serve();
  const both = [generations.renew(), generations.renew()];
  await new Promise((resolve) => setImmediate(resolve));
  expect(children).toHaveLength(4);
  for (const c of children) c.serve();
  await both[0];
  await new Promise((resolve) => setImmediate(resolve));
  for (const c of children) c.serve();
  await both[1];
  expect(named("ingress-1.2").told).toEqual([retire]);
  await generations.close();
});

test("a renewal waits until those before have served: who is stopped before that has not failed", async () => {
  const { generations, children, named } = lab();
  const renewed = generations.renew();
  await new Promise((resolve) => setImmediate(resolve));
  expect(children).toHaveLength(2);
  for (const c of children) c.serve();
  await generations.ready;
  await new Promise((resolve) => setImmediate(resolve));
  for (const c of children) c.serve();
  await renewed;
  expect(named("ingress-1").told).toEqual([retire]);
});

test("of generations that drain, the oldest ends when there are too many", async () => {
  const { generations, children, named } = lab();
  for (const c of children) c.serve();
  for (let i = 0; i < 5; i++) {
    const renewed = generations.renew();
    await new Promise((resolve) => setImmediate(resolve));
    for (const c of children) c.serve();
    await renewed;
  }
  expect(["ingress-1", "ingress-2", "ingress-1.2"].map((n) => named(n).told)).toEqual([[retire, "close"], [retire, "close"], [retire]]);
  await generations.close();
});

test("all retire: what serves takes no more, and the last to end is waited for, also of a generation before", async () => {
  const { generations, children, named } = lab();
  for (const c of children) c.serve();
  await generations.ready;
  const renewed = generations.renew();
  await new Promise((resolve) => setImmediate(resolve));
  for (const c of children) c.serve();
  await renewed;
  let over = false;
  const retired = generations.retire().then(() => {
    over = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  for (const c of children) expect(c.told).toEqual(['{"type":"retire"} within 6000']);
  for (const c of children.slice(1)) c.end();
  await new Promise((resolve) => setImmediate(resolve));
  expect(over).toBe(false);
  named("ingress-1").end();
  await retired;
  await generations.renew();
  expect(children).toHaveLength(4);
});
