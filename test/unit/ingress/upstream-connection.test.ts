import { expect, test } from "vitest";
import type { Connection, ConnectionEvents } from "../../../ingress/upstream/connection.ts";
import { UpstreamConnection } from "../../../ingress/upstream/upstream-connection.ts";

/** A connection whose writes leave when the test says so. */
function lab() {
  let unsent = false;
  const said: string[] = [];
  const connection: Connection = {
    events: { onData: () => {}, onDrain: () => {}, onEnd: () => {}, onClose: () => {} } satisfies ConnectionEvents,
    remoteIp: "",
    remotePort: 0,
    localPort: 0,
    queuedBytes: 0,
    get unsent() {
      return unsent;
    },
    write: () => {
      unsent = true;
      return true;
    },
    cork() {},
    uncork() {},
    pause() {},
    resume() {},
    end() {},
    finish() {},
    abort: () => void said.push("aborted"),
    reset() {},
  };
  const upstream = new UpstreamConnection("k", connection, {
    onIdleEnd: () => void said.push("idle end"),
    onUnasked: () => void said.push("distrusted"),
  });
  const ask = (): void =>
    upstream.begin(
      { method: "GET", switching: false, framing: { kind: "none" }, text: () => "GET / HTTP/1.1\r\n\r\n", fields: () => [] },
      {
        onInformational: ({ status }) => void said.push(`${status}`),
        onHead: ({ status }) => void said.push(`${status}`),
        onBody: (bytes) => void said.push(bytes.toString()),
        onTrailers: () => {},
        onBatchEnd: () => {},
        onComplete: () => void said.push("complete"),
        onSwitched: () => void said.push("switched"),
        onFailure: (failure) => void said.push(failure),
        onDrain: () => {},
      },
    );
  return {
    ask,
    sent: () => (unsent = false),
    hears: (text: string) => connection.events.onData(Buffer.from(text)),
    ends: () => connection.events.onEnd(),
    said: (): readonly string[] => said.splice(0),
    upstream,
  };
}

const answer = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

test("bytes after an answer that come while the next request is being written are no answer to it", () => {
  const { ask, sent, hears, said } = lab();
  ask();
  sent();
  hears(answer("own"));
  expect(said()).toEqual(["200", "own", "complete"]);
  ask();
  hears(answer("wrong"));
  expect(said()).toEqual(["distrusted", "aborted", "unasked"]);
});

test.for<[name: string, first: string, then: string | undefined, said: readonly string[]]>([
  ["behind its answer", answer("own") + answer("more"), undefined, ["200", "own", "distrusted", "complete"]],
  ["behind an answer without a body", `${answer("")}x`, undefined, ["200", "distrusted", "complete"]],
  ["while it rests", answer("own"), "x", ["200", "own", "complete", "aborted", "idle end", "distrusted"]],
  ["as a farewell", answer("own"), "HTTP/1.1 408 Request Timeout\r\n\r\n", ["200", "own", "complete", "aborted", "idle end"]],
])("an endpoint that says what nobody asked for %s", ([, first, then, want]) => {
  const { ask, sent, hears, said } = lab();
  ask();
  sent();
  hears(first);
  if (then !== undefined) hears(then);
  expect(said()).toEqual(want);
});

test("one that ends before the request has left has done nothing with it; after that nobody knows", () => {
  const before = lab();
  before.ask();
  before.ends();
  expect(before.said()).toEqual(["aborted", "unasked"]);
  const after = lab();
  after.ask();
  after.sent();
  after.ends();
  expect(after.said()).toEqual(["aborted", "closed"]);
});

test("an answer that comes while more of the request is being written is one", () => {
  const { ask, sent, hears, upstream, said } = lab();
  ask();
  sent();
  hears("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
  upstream.sendBody(Buffer.from("x"));
  hears("own");
  expect(said()).toEqual(["200", "own", "complete"]);
});
