import { EventEmitter } from "node:events";
import type { OutgoingHttpHeaders } from "node:http";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import type { Answer } from "../../../src/apiserver/answer.ts";
import { Lifetime } from "../../../src/apiserver/lifetime.ts";
import { sendAnswer } from "../../../src/apiserver/send.ts";
import type { WireRequest, WireResponse } from "../../../src/apiserver/wire.ts";

/** A client that takes one piece a turn. */
class SlowClient extends EventEmitter implements WireResponse {
  readonly taken: Uint8Array[] = [];
  headers: Readonly<Record<string, unknown>> = {};
  writableLength = 0;
  most = 0;
  ended = false;

  get writableEnded(): boolean {
    return this.ended;
  }

  cork(): void {
    // it takes all as it comes
  }

  uncork(): void {
    // as cork
  }

  writeHead(_status: number, headers: OutgoingHttpHeaders = {}): void {
    this.headers = headers;
  }

  write(bytes: Uint8Array): boolean {
    this.taken.push(Uint8Array.from(bytes));
    this.writableLength += bytes.length;
    this.most = Math.max(this.most, this.writableLength);
    setImmediate(() => {
      this.writableLength = 0;
      this.emit("drain");
    });
    return false;
  }

  end(bytes?: Uint8Array): void {
    if (bytes !== undefined) this.taken.push(bytes);
    this.ended = true;
  }

  destroy(): void {
    this.emit("close");
  }
}

const large = Array.from({ length: 2000 }, (_, i) => Buffer.from(`${i}`.padStart(1000, i % 2 === 0 ? "x" : "é")));

test.each([
  { name: "small", method: "GET", accept: "gzip", body: [Buffer.from("a"), Buffer.from("b")], zipped: false, sent: true },
  { name: "large", method: "GET", accept: "", body: large, zipped: false, sent: true },
  { name: "large, compressed", method: "GET", accept: "deflate, gzip", body: large, zipped: true, sent: true },
  { name: "large, its head only", method: "HEAD", accept: "", body: large, zipped: false, sent: false },
  { name: "nothing", method: "GET", accept: "", body: [], zipped: false, sent: true },
])("an answer is all there, and never waits as a whole: $name", async ({ method, accept, body, zipped, sent }) => {
  const client = new SlowClient();
  const request = { method, headers: { "accept-encoding": accept } } as unknown as WireRequest;
  const answer: Answer = { kind: "bytes", status: 200, type: "application/json", body };
  await sendAnswer(request, client, answer, {}, new Lifetime(client, new AbortController().signal));
  const all = Buffer.concat(client.taken);
  expect((zipped ? gunzipSync(all) : all).equals(sent ? Buffer.concat(body) : Buffer.alloc(0))).toBe(true);
  expect(client.headers["content-encoding"]).toBe(zipped ? "gzip" : undefined);
  expect(client.headers["content-length"]).toBe(zipped ? undefined : Buffer.concat(body).length);
  expect([client.ended, client.most < 256 << 10]).toEqual([true, true]);
});

test("a client that leaves amid a large answer gets no more of it", async () => {
  const client = new SlowClient();
  const request = { method: "GET", headers: {} } as unknown as WireRequest;
  client.once("drain", () => client.destroy());
  await sendAnswer(
    request,
    client,
    { kind: "bytes", status: 200, type: "application/json", body: large },
    {},
    new Lifetime(client, new AbortController().signal),
  );
  expect([client.ended, client.taken.length < 4]).toEqual([false, true]);
});
