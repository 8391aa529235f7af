import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { afterEach, expect, test } from "vitest";
import { queryOnce } from "../../../dns/forward/query-once.ts";
import { questionMessage } from "../../../dns/handler/handler.ts";
import { startDnsServer } from "../../../dns/server/dns-server.ts";
import { decodeMessage, encodeMessage } from "../../../dns/wire/message.ts";

const owned: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of owned.splice(0).reverse()) await end();
});

/** Answers when it is told to. */
async function startUpstream(): Promise<{ readonly port: number; readonly asked: () => number; readonly answer: () => void }> {
  const socket: Socket = createSocket("udp4");
  const waiting: (() => void)[] = [];
  let asked = 0;
  socket.on("message", (bytes, from) => {
    asked++;
    waiting.push(() => {
      const query = decodeMessage(bytes);
      const answers = query.questions.map(({ name }) => ({ name, class: 1, ttl: 9, data: { kind: "A", ip: "192.0.2.7" } as const }));
      socket.send(encodeMessage({ ...query, isResponse: true, answers }), from.port, from.address);
    });
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  owned.push(() => socket.close());
  return {
    port: socket.address().port,
    asked: () => asked,
    answer: () => {
      for (const one of waiting.splice(0)) one();
    },
  };
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setImmediate(resolve));
}

test("a server that ends answers first what it has taken, over UDP and TCP", async () => {
  const upstream = await startUpstream();
  const server = startDnsServer({
    listen: [{ ip: "127.0.0.1", port: 0 }],
    upstreams: [{ ip: "127.0.0.1", port: upstream.port }],
    cache: false,
  });
  owned.push(() => server.close());
  await server.ready;
  const at = { ip: "127.0.0.1", port: server.addresses()[0]?.port ?? 0 };
  const answers = (["udp", "tcp"] as const).map((transport) => queryOnce(at, `${transport}.example.org`, { transport, timeout: 10_000 }));
  await until(() => upstream.asked() === 2);
  const ended = server.drain(10_000);
  // no connection is accepted any more
  await expect(queryOnce(at, "late.example.org", { transport: "tcp", timeout: 10_000 })).rejects.toThrow();
  upstream.answer();
  const addresses = (await Promise.all(answers)).map((m) => m.answers[0]?.data);
  expect(addresses).toEqual([
    { kind: "A", ip: "192.0.2.7" },
    { kind: "A", ip: "192.0.2.7" },
  ]);
  await ended;
});

test("it does not wait longer than it is told", async () => {
  const upstream = await startUpstream();
  const server = startDnsServer({ listen: [{ ip: "127.0.0.1", port: 0 }], upstreams: [{ ip: "127.0.0.1", port: upstream.port }] });
  owned.push(() => server.close());
  await server.ready;
  const at = { ip: "127.0.0.1", port: server.addresses()[0]?.port ?? 0 };
  const client = createSocket("udp4");
  owned.push(() => client.close());
  client.send(encodeMessage(questionMessage({ name: "slow.example.org.", type: 1, class: 1 }, { id: 7 })), at.port, at.ip);
  await until(() => upstream.asked() > 0);
  await server.drain(50);
  await server.close();
});
