import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { readCorefile } from "../../../dns/corefile/server-blocks.ts";
import { questionMessage } from "../../../dns/handler/handler.ts";
import { limitClients } from "../../../dns/server/client-limit.ts";
import { startDnsServer } from "../../../dns/server/dns-server.ts";
import type { QueryEngine } from "../../../dns/server/engine.ts";
import { ResponseRate, slipAnswer } from "../../../dns/server/response-rate.ts";
import { decodeMessage, encodeMessage, type Message } from "../../../dns/wire/message.ts";
import { parseCidr } from "../../../src/base/cidr.ts";
import { systemClock } from "../../../src/base/clock.ts";

const pods = [parseCidr("10.0.0.0/8")].filter((c) => c !== undefined);

describe("answers over UDP are limited", () => {
  const verdicts = (rate: ResponseRate, client: string, n: number, now = 0): string =>
    Array.from({ length: n }, () => rate.take(client, now)[0]).join("");

  test("to so many at once, then every second one says TC", () => {
    expect(verdicts(new ResponseRate({ perSecond: 3 }), "192.0.2.1", 9)).toBe("sssdsdsds");
  });

  test.each<[string, ConstructorParameters<typeof ResponseRate>[0], readonly [string, string], boolean]>([
    ["a /24 together", { perSecond: 1 }, ["192.0.2.1", "192.0.2.254"], true],
    ["two /24 apart", { perSecond: 1 }, ["192.0.2.1", "192.0.3.1"], false],
    ["a /32 by itself when told so", { perSecond: 1, ipv4Bits: 32 }, ["192.0.2.1", "192.0.2.2"], false],
    ["a /56 together", { perSecond: 1 }, ["2001:db8:0:1::1", "2001:db8:0:2::1"], true],
    ["two /56 apart", { perSecond: 1 }, ["2001:db8:0:100::1", "2001:db8:0:200::1"], false],
  ])("by range: %s", (_, config, [one, other], together) => {
    const rate = new ResponseRate({ ...config, slip: 0 });
    expect(rate.take(one, 0)).toBe("send");
    expect(rate.take(other, 0)).toBe(together ? "drop" : "send");
  });

  test("not for those who are exempt", () => {
    const rate = new ResponseRate({ perSecond: 1, exempt: pods });
    expect(verdicts(rate, "10.1.2.3", 50)).toBe("s".repeat(50));
  });

  test("and again allowed with time, up to one second's", () => {
    const rate = new ResponseRate({ perSecond: 10, slip: 0 });
    expect(verdicts(rate, "192.0.2.1", 11, 0)).toBe(`${"s".repeat(10)}d`);
    expect(verdicts(rate, "192.0.2.1", 3, 200)).toBe("ssd");
    expect(verdicts(rate, "192.0.2.1", 11, 60_000)).toBe(`${"s".repeat(10)}d`);
  });

  test("in a table that keeps those who ask most, however many ranges are made up", () => {
    const rate = new ResponseRate({ perSecond: 5, slip: 0 });
    let sent = 0;
    for (let i = 0; i < 200_000; i++) {
      rate.take(`${1 + (i % 200)}.${(i >> 8) & 255}.${(i >> 16) & 255}.1`, i / 200);
      // the one that floods meanwhile: 1000 times in a second, as 5 a second allow
      if (i % 200 === 0 && rate.take("198.51.100.7", i / 200) === "send") sent++;
    }
    expect(sent).toBeLessThan(15);
  });

  test("a slipped answer has its question and nothing else", () => {
    const query = questionMessage({ name: "web.shop.svc.cluster.local.", type: 1, class: 1 }, { id: 5 });
    const answer: Message = {
      ...query,
      isResponse: true,
      answers: [{ name: "web.shop.svc.cluster.local.", class: 1, ttl: 5, data: { kind: "A", ip: "10.0.0.1" } }],
    };
    const bytes = encodeMessage(answer);
    const m = decodeMessage(bytes.subarray(0, slipAnswer(bytes, bytes.length)));
    expect([m.truncated, m.questions, m.answers, m.additional, m.edns]).toEqual([true, query.questions, [], [], undefined]);
    const head = encodeMessage({ ...answer, questions: [], answers: [] });
    expect(slipAnswer(head, head.length)).toBe(12);
  });

  test.each([
    // none comes back while the test runs
    ["configured", { upstreams: [], rateLimit: { perSecond: 0.0001, slip: 1 } }, 1],
    [
      "of a Corefile",
      {
        blocks: readCorefile(". {\n rrl {\n  responses-per-second 1\n  slip-ratio 1\n }\n kubernetes cluster.local\n}", "Corefile", {
          folder: "/",
        }),
      },
      2,
    ],
  ] as const)("by a running server, %s, whose metrics tell", async (_, config, questions) => {
    const server = startDnsServer({ listen: [{ ip: "127.0.0.1", port: 0 }], ...config }, { clock: { ...systemClock, monotonic: () => 0 } });
    await server.ready;
    server.setSynced();
    const socket = createSocket("udp4");
    let last: Buffer = Buffer.alloc(0);
    for (let i = 0; i < questions; i++) {
      const asked = encodeMessage(questionMessage({ name: "nope.cluster.local.", type: 1, class: 1 }, { id: 3 }));
      socket.send(asked, server.addresses()[0]?.port ?? 0, "127.0.0.1");
      [last] = (await once(socket, "message")) as [Buffer];
    }
    socket.close();
    expect(decodeMessage(last)).toMatchObject({ truncated: true, answers: [], authority: [] });
    expect(server.metrics()).toContain('fairway_dns_rate_limited_total{what="slipped"} 1');
    await server.close();
  });
});

test("of a connection's questions no more wait at once than its limit, and the rest are read when those are answered", async () => {
  const asked: Buffer[] = [];
  const upstream = createSocket("udp4");
  const answer = (): void => {
    for (const { bytes, port } of waiting.splice(0)) {
      bytes[2] = 0x81;
      bytes[3] = 0x83;
      upstream.send(bytes, port, "127.0.0.1");
    }
  };
  const waiting: { readonly bytes: Buffer; readonly port: number }[] = [];
  upstream.on("message", (bytes, from) => {
    asked.push(bytes);
    waiting.push({ bytes, port: from.port });
  });
  upstream.bind(0, "127.0.0.1");
  await once(upstream, "listening");
  const server = startDnsServer({
    listen: [{ ip: "127.0.0.1", port: 0 }],
    upstreams: [{ ip: "127.0.0.1", port: upstream.address().port }],
    tcp: { pipelined: 3 },
    cache: false,
  });
  await server.ready;
  const socket = connect(server.addresses()[0]?.port ?? 0, "127.0.0.1");
  let answered = 0;
  socket.on("data", (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; at += 2 + chunk.readUInt16BE(at)) answered++;
  });
  const queries = Array.from({ length: 8 }, (_, id) => {
    const m = encodeMessage(questionMessage({ name: `n${id}.example.org.`, type: 1, class: 1 }, { id }));
    return Buffer.concat([Buffer.from([m.length >> 8, m.length & 255]), m]);
  });
  socket.write(Buffer.concat(queries));
  const until = async (done: () => boolean): Promise<void> => {
    while (!done()) await new Promise((resolve) => setImmediate(resolve));
  };
  for (const most of [3, 6, 8]) {
    await until(() => asked.length === most);
    // whatever it could read besides would be asked in these turns
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(asked.length).toBe(most);
    answer();
    await until(() => answered === most);
  }
  socket.destroy();
  await server.close();
  upstream.close();
});

test("a client has no more questions waiting than its limit, others have theirs", async () => {
  const open: ((answer: Uint8Array) => void)[] = [];
  const inner: QueryEngine = {
    warm: () => {},
    now: () => undefined,
    transfer: () => undefined,
    later: () => new Promise((resolve) => open.push(resolve)),
    series: () => Promise.resolve([]),
  };
  const engine = limitClients(inner, 2);
  const ask = (client: string): Promise<Uint8Array | undefined> => engine.later(new Uint8Array(12), client, "udp");
  const waiting = [ask("10.0.0.1"), ask("10.0.0.1"), ask("10.0.0.2")];
  expect(await ask("10.0.0.1")).toBeUndefined();
  for (const answer of open.splice(0)) answer(new Uint8Array(1));
  expect((await Promise.all(waiting)).map((a) => a?.length)).toEqual([1, 1, 1]);
  const again = ask("10.0.0.1");
  for (const answer of open.splice(0)) answer(new Uint8Array(2));
  expect((await again)?.length).toBe(2);
});
