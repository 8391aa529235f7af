import { EventEmitter } from "node:events";
import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { ResponseOutlet } from "../../../src/apiserver/outlet.ts";
import type { WireResponse } from "../../../src/apiserver/wire.ts";

/** A response that is sent piece by piece, as it is corked and uncorked. */
class Corked extends EventEmitter implements WireResponse {
  readonly sent: string[] = [];
  writableEnded = false;
  #waiting = "";
  #corks = 0;

  get writableLength(): number {
    return this.#waiting.length;
  }

  writeHead(): void {
    this.emit("head");
  }

  cork(): void {
    this.#corks++;
  }

  uncork(): void {
    if (--this.#corks < 0) throw new Error("uncorked twice");
    if (this.#corks === 0) this.#send();
  }

  write(bytes: Uint8Array): boolean {
    this.#waiting += Buffer.from(bytes).toString();
    return this.#waiting.length < 10;
  }

  end(): void {
    this.#corks = 0;
    this.#send();
    this.writableEnded = true;
  }

  destroy(): void {
    this.emit("close");
  }

  #send(): void {
    this.sent.push(this.#waiting);
    this.#waiting = "";
    this.emit("drain");
  }
}

const outletOf = (response: Corked, turn: "first" | "in-turn"): ResponseOutlet => new ResponseOutlet(response, turn, () => false);

test.each([
  { turn: "first", atOnce: ["a", "b"], later: ["a", "b"] },
  { turn: "in-turn", atOnce: [], later: ["ab"] },
] as const)(
  "what a watcher that is told $turn is told leaves: $atOnce in the call, $later after the turn",
  async ({ turn, atOnce, later }) => {
    const response = new Corked();
    const out = outletOf(response, turn);
    for (const text of ["a", "b"]) out.write(Buffer.from(text));
    expect(response.sent).toEqual(atOnce);
    expect(out.waiting).toBe(2 - atOnce.length);
    await nextTurn();
    expect(response.sent).toEqual(later);
    out.write(Buffer.from("c"));
    await nextTurn();
    expect(response.sent).toEqual([...later, "c"]);
  },
);

test.each(["first", "in-turn"] as const)("a watcher that is told %s has room again once it has taken what was written", async (turn) => {
  const response = new Corked();
  const out = outletOf(response, turn);
  out.write(Buffer.alloc(20, "x"));
  await out.drained(new AbortController().signal);
  expect(response.sent).toEqual(["x".repeat(20)]);
});

test("a stream that ends in the turn of its last event is sent whole, and once", async () => {
  const response = new Corked();
  outletOf(response, "in-turn").write(Buffer.from("last"));
  response.end();
  await nextTurn();
  expect(response.sent).toEqual(["last"]);
});
