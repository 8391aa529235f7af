import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { type AddressInfo, createServer, type Server } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { readCorefile } from "../../../dns/corefile/server-blocks.ts";
import { isUpstreamError, upstreamErrorCodes } from "../../../dns/forward/errors.ts";
import { type ForwardConfig, Forwarder } from "../../../dns/forward/forwarder.ts";
import { queryOnce } from "../../../dns/forward/query-once.ts";
import { parseResolvConf } from "../../../dns/forward/resolv-conf.ts";
import { emptyAnswer, questionMessage } from "../../../dns/handler/handler.ts";
import { startDnsServer } from "../../../dns/server/dns-server.ts";
import { parseErrorCodes } from "../../../dns/wire/errors.ts";
import { decodeMessage, encodeMessage, type Message } from "../../../dns/wire/message.ts";
import { parseRecord } from "../../../dns/wire/zone-file.ts";
import { selfSignedCertificate } from "../../../ingress/proxy/default-certificate.ts";
import { systemClock } from "../../../src/base/clock.ts";

const query = questionMessage({ name: "www.example.org.", type: 1, class: 1 }, { id: 5 });
const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

interface Fake {
  readonly ip: string;
  readonly port: number;
  readonly seen: Message[];
  readonly ports: Set<number>;
}

/** A server on UDP and TCP of one port that says what `reply` returns: messages or bytes, in order. */
async function fakeUpstream(reply: (q: Message, transport: "udp" | "tcp") => readonly (Message | Uint8Array)[]): Promise<Fake> {
  const seen: Message[] = [];
  const ports = new Set<number>();
  const answers = (bytes: Buffer, transport: "udp" | "tcp"): Uint8Array[] => {
    const q = decodeMessage(bytes);
    seen.push(q);
    return reply(q, transport).map((m) => (m instanceof Uint8Array ? m : encodeMessage(m)));
  };
  const tcp = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      for (const m of answers(chunk.subarray(2), "tcp")) socket.write(Buffer.concat([Buffer.from([m.length >> 8, m.length & 255]), m]));
    });
    closing.push(() => void socket.destroy());
  });
  const { port, udp } = await bindBoth(tcp);
  udp.on("message", (bytes: Buffer, from: RemoteInfo) => {
    ports.add(from.port);
    for (const m of answers(bytes, "udp")) udp.send(m, from.port, from.address);
  });
  closing.push(
    () => new Promise<void>((resolve) => udp.close(resolve)),
    () => new Promise<void>((resolve) => tcp.close(() => resolve())),
  );
  return { ip: "127.0.0.1", port, seen, ports };
}

/** The same port over both; one that somebody has over UDP is left for another. */
async function bindBoth(tcp: Server): Promise<{ readonly port: number; readonly udp: Socket }> {
  for (;;) {
    await new Promise<void>((resolve) => tcp.listen(0, "127.0.0.1", resolve));
    const { port } = tcp.address() as AddressInfo;
    const udp = createSocket("udp4");
    const isBound = await new Promise<boolean>((resolve) => {
      udp.once("error", () => resolve(false));
      udp.bind(port, "127.0.0.1", () => resolve(true));
    });
    if (isBound) return { port, udp };
    udp.close();
    await new Promise<void>((resolve) => tcp.close(() => resolve()));
  }
}

function startForwarder(upstreams: readonly Fake[], config: Partial<ForwardConfig> = {}): { forwarder: Forwarder; events: string[] } {
  const events: string[] = [];
  const nameOf = (upstream: string): string => String(upstreams.findIndex((u) => upstream.endsWith(`:${u.port}`)));
  const forwarder = new Forwarder(
    { policy: "sequential", tryTimeout: 2000, checkInterval: 20, ...config, upstreams },
    {
      clock: systemClock,
      random: Math.random,
      observe: {
        answered: (u) => void events.push(`answered ${nameOf(u)}`),
        failed: (u) => void events.push(`failed ${nameOf(u)}`),
        checkFailed: () => {},
        allDown: () => void events.push("all down"),
        rejected: () => void events.push("rejected"),
      },
    },
  );
  closing.push(() => forwarder.close());
  return { forwarder, events };
}

const never = new AbortController().signal;
const good = (q: Message): Message => ({ ...emptyAnswer(q, 0), answers: [parseRecord("www.example.org. 60 IN A 10.0.0.1")] });

async function ask(forwarder: Forwarder): Promise<Message> {
  const m = await forwarder.ask(query, never);
  if (m === "too-many") throw new Error(m);
  return m;
}

describe("one upstream", () => {
  test("is asked from changing ports with changing ids; the answer has the client's id", async () => {
    const upstream = await fakeUpstream((q) => [good(q)]);
    const { forwarder } = startForwarder([upstream]);
    const answers = [];
    for (let i = 0; i < 10; i++) answers.push(await ask(forwarder));
    expect(answers.every((m) => m.id === 5 && m.answers.length === 1)).toBe(true);
    expect(upstream.ports.size).toBeGreaterThan(5);
    expect(new Set(upstream.seen.map((q) => q.id)).size).toBeGreaterThan(5);
    expect(upstream.seen[0]).toMatchObject({ recursionDesired: true, edns: { udpSize: 1232, options: [] } });
  });

  test("answers that are not to the question do not end the wait", async () => {
    const upstream = await fakeUpstream((q) => [
      { ...good(q), id: (q.id + 1) & 0xffff },
      { ...good(q), questions: [{ name: "www.example.com.", type: 1, class: 1 }] },
      { ...good(q), questions: [{ name: "www.example.org.", type: 28, class: 1 }] },
      { ...good(q), isResponse: false },
      Uint8Array.from([q.id >> 8, q.id & 255, 0x80]),
      { ...good(q), answers: [parseRecord("www.example.org. 60 IN A 10.0.0.2")] },
    ]);
    const { forwarder } = startForwarder([upstream]);
    expect((await ask(forwarder)).answers[0]?.data).toEqual({ kind: "A", ip: "10.0.0.2" });
  });

  test("a cut answer is asked for again over TCP, on one connection for all", async () => {
    const upstream = await fakeUpstream((q, transport) => [transport === "udp" ? { ...emptyAnswer(q, 0), truncated: true } : good(q)]);
    const { forwarder } = startForwarder([upstream]);
    expect((await ask(forwarder)).answers.length).toBe(1);
    expect((await ask(forwarder)).truncated).toBe(false);
    expect(upstream.seen.length).toBe(4);
  });

  test("one that does not know EDNS is asked without", async () => {
    const upstream = await fakeUpstream((q) => [q.edns === undefined ? good(q) : { ...emptyAnswer(q, 1), questions: [] }]);
    const { forwarder } = startForwarder([upstream]);
    expect((await ask(forwarder)).rcode).toBe(0);
  });

  test("silence is a timeout after two tries, and from then on a failure at once; closing ends a wait", async () => {
    const upstream = await fakeUpstream(() => []);
    const { forwarder, events } = startForwarder([upstream], { tryTimeout: 60, failFast: true });
    await expect(ask(forwarder)).rejects.toSatisfy((e) => isUpstreamError(e) && e.code === "timeout");
    expect(events).toEqual(["failed 0", "failed 0"]);
    const asked = upstream.seen.length;
    await expect(ask(forwarder)).rejects.toSatisfy((e) => isUpstreamError(e) && e.code === "unreachable");
    expect(upstream.seen.length).toBe(asked);
    const { forwarder: other } = startForwarder([upstream]);
    const waiting = expect(ask(other)).rejects.toSatisfy((e) => isUpstreamError(e) && e.code === "closed");
    await other.close();
    await waiting;
  });

  test("more than max_concurrent at once are refused", async () => {
    const upstream = await fakeUpstream((q) => [good(q)]);
    const { forwarder, events } = startForwarder([upstream], { maxConcurrent: 2 });
    const all = await Promise.all([1, 2, 3].map(() => forwarder.ask(query, never)));
    expect(all.filter((m) => m === "too-many").length).toBe(1);
    expect(events.filter((e) => e === "rejected").length).toBe(1);
  });
});

test("a connection that is too old is replaced, and what it was asked is answered", async () => {
  const held: (() => void)[] = [];
  let connections = 0;
  const tcp = createServer((socket) => {
    connections++;
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      const m = encodeMessage(good(decodeMessage(chunk.subarray(2))));
      const say = (): void => void socket.write(Buffer.concat([Buffer.from([m.length >> 8, m.length & 255]), m]));
      // the first question waits until a second connection has been made
      if (connections === 1) held.push(say);
      else {
        say();
        for (const first of held.splice(0)) first();
      }
    });
    closing.push(() => void socket.destroy());
  });
  const { port, udp } = await bindBoth(tcp);
  closing.push(
    () => new Promise<void>((resolve) => udp.close(resolve)),
    () => new Promise<void>((resolve) => tcp.close(() => resolve())),
  );
  const upstream = { ip: "127.0.0.1", port, seen: [], ports: new Set<number>() };
  const { forwarder } = startForwarder([upstream], { forceTcp: true, maxAge: 1, tryTimeout: 20_000, timeout: 30_000 });
  const first = ask(forwarder);
  while (held.length === 0) await systemClock.sleep(5);
  expect((await Promise.all([ask(forwarder), first])).map((m) => m.answers.length)).toEqual([1, 1]);
  expect(connections).toBe(2);
});

test.each([[{}], [{ forceTcp: true }]] as const)(
  "questions come from the source address, where the upstream is of its family: %j",
  async (how) => {
    const from: (string | undefined)[] = [];
    const udp = createSocket("udp4");
    const tcp = createServer((socket) => {
      from.push(socket.remoteAddress);
      socket.on("error", () => socket.destroy());
      socket.on("data", (chunk: Buffer) => {
        const m = encodeMessage(good(decodeMessage(chunk.subarray(2))));
        socket.write(Buffer.concat([Buffer.from([m.length >> 8, m.length & 255]), m]));
      });
      closing.push(() => void socket.destroy());
    });
    const { port, udp: bound } = await bindBoth(tcp);
    udp.close();
    bound.on("message", (bytes: Buffer, peer: RemoteInfo) => {
      from.push(peer.address);
      bound.send(encodeMessage(good(decodeMessage(bytes))), peer.port, peer.address);
    });
    closing.push(
      () => new Promise<void>((resolve) => bound.close(resolve)),
      () => new Promise<void>((resolve) => tcp.close(() => resolve())),
    );
    const upstream = { ip: "127.0.0.1", port, seen: [], ports: new Set<number>() };
    for (const source of ["127.0.0.7", "::1"]) await ask(startForwarder([upstream], { ...how, source }).forwarder);
    expect(from).toEqual(["127.0.0.7", "127.0.0.1"]);
  },
);

test("an upstream by its name is asked for until its address is known, and then asked", async () => {
  let isKnown = false;
  const resolver = await fakeUpstream((q) => {
    const isAddress = isKnown && q.questions[0]?.type === 1;
    return [{ ...emptyAnswer(q, 0), answers: isAddress ? [parseRecord("dns.lan. 60 IN A 127.0.0.1")] : [] }];
  });
  const upstream = await fakeUpstream((q) => [good(q)]);
  const text = `. {\n forward . dns.lan:${upstream.port} {\n  resolver 127.0.0.1:${resolver.port}\n }\n}`;
  const waits: number[] = [];
  const clock = {
    ...systemClock,
    sleep: (ms: number, signal?: AbortSignal) => {
      waits.push(ms);
      isKnown = true;
      return systemClock.sleep(1, signal);
    },
  };
  const listen = [{ ip: "127.0.0.1", port: 0 }];
  const server = startDnsServer({ listen, blocks: readCorefile(text, "Corefile", { folder: "/" }) }, { clock });
  closing.push(() => server.close());
  await server.ready;
  const at = server.addresses()[0] ?? { ip: "", port: 0 };
  while ((await queryOnce(at, "www.example.org", { timeout: 20_000 })).answers.length === 0) await systemClock.sleep(10);
  expect(waits).toEqual([5000]);
  expect(resolver.seen[0]?.questions[0]?.name).toBe("dns.lan.");
});

describe("several upstreams", () => {
  test("the next one answers for a dead one, which is passed over until it is back", async () => {
    let dead = true;
    const first = await fakeUpstream((q) => (dead ? [] : [good(q)]));
    const second = await fakeUpstream((q) => [good(q)]);
    const { forwarder, events } = startForwarder([first, second], { tryTimeout: 250 });
    await ask(forwarder);
    await ask(forwarder);
    await ask(forwarder);
    expect(events).toEqual(["failed 0", "answered 1", "failed 0", "answered 1", "answered 1"]);
    dead = false;
    // the health check asks for the root's servers, and finds it alive
    for (let i = 0; i < 300 && !events.includes("answered 0"); i++) {
      await systemClock.sleep(10);
      await ask(forwarder);
    }
    expect(events).toContain("answered 0");
    expect(first.seen.some((q) => q.questions[0]?.name === ".")).toBe(true);
  });

  test("round_robin takes turns", async () => {
    const upstreams = [await fakeUpstream((q) => [good(q)]), await fakeUpstream((q) => [good(q)])];
    const { forwarder, events } = startForwarder(upstreams, { policy: "round_robin" });
    for (let i = 0; i < 4; i++) await ask(forwarder);
    expect(events).toEqual(["answered 0", "answered 1", "answered 0", "answered 1"]);
  });
});

test("after a code of failover another server is asked, and the last answer counts when none is better", async () => {
  const failing = await fakeUpstream((q) => [emptyAnswer(q, 2)]);
  const fine = await fakeUpstream((q) => [good(q)]);
  const { forwarder } = startForwarder([failing, fine], { failover: [2, 5] });
  expect((await ask(forwarder)).rcode).toBe(0);
  const { forwarder: alone } = startForwarder([failing], { failover: [2] });
  expect((await ask(alone)).rcode).toBe(2);
});

test.each([
  ["comes back so", (name: string) => name],
  ["is asked over TCP where it does not", (name: string) => name.toLowerCase()],
])("with random case a question %s, and clients have their own letters again", async (_, back) => {
  const answered = await fakeUpstream((q, transport) => {
    const name = q.questions[0]?.name ?? "";
    const said = transport === "tcp" ? name : back(name);
    const wrong = said === name ? {} : { rcode: 3, answers: [] };
    const questions = [{ name: said, type: 1, class: 1 }];
    return [{ ...emptyAnswer(q, 0), questions, answers: [parseRecord(`${said} 60 IN A 10.0.0.1`)], ...wrong }];
  });
  let turn = 0;
  const forwarder = new Forwarder(
    { upstreams: [answered], randomCase: true },
    {
      clock: systemClock,
      random: () => (turn++ % 2) / 2,
      observe: { answered: () => {}, failed: () => {}, checkFailed: () => {}, allDown: () => {}, rejected: () => {} },
    },
  );
  closing.push(() => forwarder.close());
  const answer = await ask(forwarder);
  expect(answered.seen[0]?.questions[0]?.name).toMatch(/[A-Z].*\.|\..*[A-Z]/);
  expect(answer).toMatchObject({ rcode: 0, questions: [{ name: "www.example.org." }], answers: [{ name: "www.example.org." }] });
});

test.each([
  ["tls", "POST"],
  ["https", "POST"],
  ["https", "GET"],
] as const)("an upstream over %s (by %s) keeps its connection, and must have the right certificate", async (scheme, dohMethod) => {
  const pair = selfSignedCertificate(Date.now(), { commonName: "dns.test", host: "dns.test" });
  const certificate = { cert: pair.certificate, key: pair.key };
  const listen = [{ ip: "127.0.0.1", port: 0 }];
  const server = startDnsServer({ listen, upstreams: [], [scheme]: [{ listen, certificate }] });
  closing.push(() => server.close());
  await server.ready;
  server.apply({
    revision: 2,
    full: true,
    upserts: [{ key: "web.shop.svc.cluster.local.", records: { sets: [{ data: [{ kind: "A", ip: "10.0.0.1" }] }] } }],
    deletes: [],
  });
  const at = server.addresses(scheme)[0] ?? { ip: "", port: 0 };
  const question = questionMessage({ name: "web.shop.svc.cluster.local.", type: 1, class: 1 }, { id: 5 });
  const observe = { answered: () => {}, failed: () => {}, checkFailed: () => {}, allDown: () => {}, rejected: () => {} };
  const askAs = async (serverName: string): Promise<Message | "too-many"> => {
    const forwarder = new Forwarder(
      { upstreams: [{ ...at, scheme, serverName }], tls: { ca: pair.certificate }, dohMethod, tryTimeout: 10_000, timeout: 20_000 },
      { clock: systemClock, random: Math.random, observe },
    );
    closing.push(() => forwarder.close());
    await forwarder.ask(question, new AbortController().signal);
    return forwarder.ask(question, new AbortController().signal);
  };
  expect(await askAs("dns.test")).toMatchObject({ id: 5, rcode: 0, answers: [{ data: { ip: "10.0.0.1" } }] });
  await expect(askAs("other.test")).rejects.toSatisfy(isUpstreamError);
});

test("no more servers are tried for a question than are allowed", async () => {
  const dead = await Promise.all([1, 2, 3].map(() => fakeUpstream((q) => [emptyAnswer(q, 2)])));
  const forwarder = new Forwarder(
    { upstreams: dead, failover: [2], maxAttempts: 2, policy: "sequential" },
    {
      clock: systemClock,
      random: Math.random,
      observe: { answered: () => {}, failed: () => {}, checkFailed: () => {}, allDown: () => {}, rejected: () => {} },
    },
  );
  closing.push(() => forwarder.close());
  expect(await ask(forwarder)).toMatchObject({ rcode: 2 });
  expect(dead.map((d) => d.seen.length)).toEqual([1, 1, 0]);
});

test("next_on_nodata leaves what a server has no records for to the next", async () => {
  const empty = await fakeUpstream((q) => [emptyAnswer(q, 0)]);
  const full = await fakeUpstream((q) => [{ ...emptyAnswer(q, 0), answers: [parseRecord("www.example.org. 60 IN A 10.0.0.1")] }]);
  const corefile = `.:53 {\n forward . 127.0.0.1:${empty.port} {\n  next_on_nodata\n }\n forward . 127.0.0.1:${full.port}\n}`;
  const server = startDnsServer({ listen: [{ ip: "127.0.0.1", port: 0 }], blocks: readCorefile(corefile, "Corefile", { folder: "/" }) });
  closing.push(() => server.close());
  await server.ready;
  const answer = await queryOnce(server.addresses()[0] ?? { ip: "", port: 0 }, "www.example.org.", { timeout: 20_000 });
  expect(answer.answers).toMatchObject([{ data: { ip: "10.0.0.1" } }]);
  expect([empty.seen.length, full.seen.length]).toEqual([1, 1]);
});

test("a server forwards, caches, follows aliases, and says SERVFAIL when nobody answers", async () => {
  let up = true;
  const upstream = await fakeUpstream((q) => {
    if (!up) return [];
    const name = q.questions[0]?.name ?? "";
    return [
      { ...emptyAnswer(q, name.startsWith("nx") ? 3 : 0), answers: name.startsWith("nx") ? [] : [parseRecord(`${name} 60 IN A 10.0.0.1`)] },
    ];
  });
  const server = startDnsServer({ listen: [{ ip: "127.0.0.1", port: 0 }], upstreams: [upstream], forward: { tryTimeout: 300 } });
  closing.push(() => server.close());
  await server.ready;
  const target = "www.example.org.";
  server.apply({
    revision: 2,
    full: true,
    upserts: [{ key: "out.shop.svc.cluster.local.", records: { sets: [{ data: [{ kind: "CNAME", target }] }] } }],
    deletes: [],
  });
  const at = server.addresses()[0] ?? { ip: "", port: 0 };
  const alias = await queryOnce(at, "out.shop.svc.cluster.local.");
  expect(alias).toMatchObject({
    rcode: 0,
    authoritative: true,
    answers: [{ data: { kind: "CNAME", target } }, { name: target, data: { ip: "10.0.0.1" } }],
  });
  const own = await queryOnce(at, target);
  expect(own).toMatchObject({ rcode: 0, authoritative: false, recursionAvailable: true });
  expect(upstream.seen.length).toBe(1);
  expect((await queryOnce(at, "nx.example.org.")).rcode).toBe(3);
  up = false;
  expect((await queryOnce(at, "other.example.org.")).rcode).toBe(2);
  expect(server.metrics()).toMatch(/coredns_cache_hits_total\{[^}]*type="success"\} 1/);
  expect(server.metrics()).toMatch(/coredns_forward_responses_total\{to="127\.0\.0\.1:\d+",rcode="NXDOMAIN"\} 1/);
});

test.each([
  [
    "nameserver 10.0.0.1\nnameserver fd00::1 # x\nsearch a.b c\noptions ndots:3 edns0",
    { nameservers: ["10.0.0.1", "fd00::1"], search: ["a.b", "c"], ndots: 3 },
  ],
  ["; nothing\nnameserver not.an.ip\nnameserver fe80::1%eth0\ndomain x\nsearch y", { nameservers: [], search: ["y"], ndots: 1 }],
  ["", { nameservers: [], search: [], ndots: 1 }],
  ["options ndots:99 ndots:x\n\tnameserver\t127.0.0.1", { nameservers: ["127.0.0.1"], search: [], ndots: 15 }],
])("resolv.conf %j", (text, want) => {
  expect(parseResolvConf(text)).toEqual(want);
});

test("error codes are counted", () => {
  expect(Object.keys(upstreamErrorCodes).length).toBe(4);
  expect(Object.keys(parseErrorCodes).length).toBe(10);
});
