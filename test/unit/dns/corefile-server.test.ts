import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { defaultBlocks, printDefaultCorefile } from "../../../dns/corefile/default-blocks.ts";
import { type DnsBlocks, readCorefile } from "../../../dns/corefile/server-blocks.ts";
import { queryOnce } from "../../../dns/forward/query-once.ts";
import { questionMessage } from "../../../dns/handler/handler.ts";
import { loadCorefile } from "../../../dns/server/corefile-file.ts";
import { type DnsServer, startDnsServer } from "../../../dns/server/dns-server.ts";
import { decodeMessage, encodeMessage } from "../../../dns/wire/message.ts";
import { DnsZone } from "../../../dns/zone/dns-zone.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { batchFromEmpty } from "../../../src/snapshot/snapshot-store.ts";
import { snapshotOf } from "../../support/dns-cases.ts";
import { shop } from "./shop.ts";

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const blocksOf = (text: string): DnsBlocks => readCorefile(text, "Corefile", { folder: "/" });

async function serve(text: string): Promise<DnsServer> {
  const blocks = blocksOf(text);
  const server = startDnsServer({ listen: [{ ip: "127.0.0.1", port: 0 }], blocks });
  closing.push(() => server.close());
  await server.ready;
  const zone = new DnsZone(blocks.zones);
  zone.apply(batchFromEmpty(snapshotOf(shop)));
  server.apply(zone.full());
  server.setSynced();
  return server;
}

/** An address that no other process listens at. */
const ownAddress = `127.88.${(process.pid >> 8) & 255}.${process.pid & 255 || 1}`;

const lan = (ip: string): string => `.:53 {
  hosts {
    ${ip} a.lan
    fallthrough
  }
  kubernetes cluster.local
  ready 127.0.0.1:0
  prometheus 127.0.0.1:0
}`;
const addressOf = async (server: DnsServer, name = "a.lan"): Promise<unknown> => {
  const at = server.addresses()[0] ?? { ip: "", port: 0 };
  const { rcode, answers } = await queryOnce(at, name, { timeout: 10_000 });
  const data = answers[0]?.data;
  return data !== undefined && "ip" in data ? data.ip : rcode;
};

test("other server blocks take over, and no query is lost meanwhile", async () => {
  const server = await serve(lan("10.8.0.1"));
  expect([await addressOf(server), await addressOf(server, "web.shop.svc.cluster.local")]).toEqual(["10.8.0.1", "10.96.0.20"]);
  const seen: unknown[] = [];
  let asking = true;
  const asked = (async () => {
    while (asking) seen.push(await addressOf(server));
  })();
  for (let i = 2; i < 8; i++) {
    await server.configure(blocksOf(lan(`10.8.0.${i}`)));
    expect(await addressOf(server)).toBe(`10.8.0.${i}`);
  }
  asking = false;
  await asked;
  expect(new Set(seen).difference(new Set([1, 2, 3, 4, 5, 6, 7].map((i) => `10.8.0.${i}`)))).toEqual(new Set());
});

test("blocks that cannot be served change nothing", async () => {
  const server = await serve(lan("10.8.0.1"));
  await expect(server.configure(blocksOf(".:53 {\n kubernetes other.local\n}"))).rejects.toThrow(/other zones/);
  await expect(
    server.configure(blocksOf(".:53 {\n kubernetes cluster.local\n forward . tls://127.0.0.1 {\n  tls /nowhere/ca.pem\n }\n}")),
  ).rejects.toThrow(/nowhere/);
  expect(await addressOf(server)).toBe("10.8.0.1");
});

test("ready and prometheus are served where the Corefile says, and ready waits for the names", async () => {
  const blocks = blocksOf(lan("10.8.0.1"));
  const server = startDnsServer({ listen: [{ ip: "127.0.0.1", port: 0 }], blocks });
  closing.push(() => server.close());
  await server.ready;
  const get = async (path: string): Promise<string> => {
    const at = server.endpoints().find((e) => e.path === path);
    const response = await fetch(`http://127.0.0.1:${at?.port}${path}`, { headers: { connection: "close" } });
    return `${response.status} ${await response.text()}`;
  };
  expect(await get("/ready")).toBe("503 kubernetes");
  server.setSynced();
  expect(await get("/ready")).toBe("200 OK");
  expect(await get("/metrics")).toMatch(/^200 # HELP coredns_dns_requests_total/);
});

test.each(["until-ready", "continuously"])("a lame server is healthy, answers, and is not ready; monitor %s", async (monitor) => {
  const lame = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  const clock = {
    ...systemClock,
    sleep: (ms: number, signal?: AbortSignal) => {
      if (ms !== 1500) return systemClock.sleep(ms, signal);
      lame.resolve();
      return gone.promise;
    },
  };
  const text = `.:53 {\n health 127.0.0.1:0 {\n  lameduck 1500ms\n }\n ready 127.0.0.1:0 {\n  monitor ${monitor}\n }\n hosts {\n  10.8.0.1 a.lan\n }\n}`;
  const server = startDnsServer({ listen: [{ ip: "127.0.0.1", port: 0 }], blocks: blocksOf(text) }, { clock });
  await server.ready;
  server.setSynced();
  const get = async (path: string): Promise<number> => {
    const at = server.endpoints().find((e) => e.path === path);
    return (await fetch(`http://127.0.0.1:${at?.port}${path}`, { headers: { connection: "close" } })).status;
  };
  expect([await get("/health"), await get("/ready")]).toEqual([200, 200]);
  const closed = server.close();
  await lame.promise;
  expect([await get("/health"), await get("/ready"), await addressOf(server)]).toEqual([200, 503, "10.8.0.1"]);
  gone.resolve();
  await closed;
});

test("a server that takes another's place opens the same endpoints and addresses while that one answers; one of both is always ready", async () => {
  const at = ownAddress;
  const text = `.:53 {\n whoami\n health ${at}:8080\n ready ${at}:8181\n}\na.lan:5300 {\n bind ${at}\n hosts {\n  10.8.0.1 a.lan\n }\n}`;
  const start = async (): Promise<DnsServer> => {
    const udp = createSocket("udp4").bind(0, "127.0.0.1");
    await once(udp, "listening");
    const server = startDnsServer({ listen: [], blocks: blocksOf(text) }, { sockets: { udp: [udp], tcp: [] } });
    closing.push(() => server.close());
    await server.ready;
    return server;
  };
  const get = async (port: number, path: string): Promise<number> =>
    (await fetch(`http://${at}:${port}${path}`, { headers: { connection: "close" } })).status;
  const first = await start();
  first.setSynced();
  expect([await get(8080, "/health"), await get(8181, "/ready")]).toEqual([200, 200]);
  const second = await start();
  second.setSynced();
  const said = new Set<unknown>();
  let asking = true;
  const asked = (async () => {
    while (asking) {
      said.add(await get(8080, "/health"));
      said.add(await get(8181, "/ready"));
      said.add((await queryOnce({ ip: at, port: 5300 }, "a.lan", { timeout: 10_000, transport: "tcp" })).rcode);
    }
  })();
  await first.drain(5000);
  await first.close();
  said.add(await get(8181, "/ready"));
  asking = false;
  await asked;
  expect(said).toEqual(new Set([200, 0]));
});

test("a block that is bound elsewhere answers there only", async () => {
  const server = await serve("a.lan {\n hosts {\n  10.8.0.1 a.lan\n }\n}\nb.lan {\n bind 127.0.0.2\n hosts {\n  10.8.0.2 b.lan\n }\n}");
  const [own, added] = server.addresses();
  const answers = async (at = own): Promise<unknown> =>
    Promise.all(["a.lan", "b.lan"].map(async (name) => (await queryOnce(at ?? { ip: "", port: 0 }, name, { timeout: 10_000 })).rcode));
  expect([own?.ip, added?.ip]).toEqual(["127.0.0.1", "127.0.0.2"]);
  expect([await answers(own), await answers(added)]).toEqual([
    [0, 5],
    [0, 0],
  ]);
});

test("proxyproto: who is named at the beginning of a connection is the client", async () => {
  const server = await serve(`.:53 {
  proxyproto {
    allow 127.0.0.0/8
  }
  acl {
    block net 192.0.2.0/24
  }
  hosts {
    10.7.0.1 a.lan
  }
}`);
  const bytes = encodeMessage(questionMessage({ name: "a.lan.", type: 1, class: 1 }, { id: 4 }));
  const codeFor = async (header: string): Promise<number> => {
    const socket = connect(server.addresses()[0]?.port ?? 0, "127.0.0.1");
    socket.write(Buffer.concat([Buffer.from(header), Buffer.from([0, bytes.length]), bytes]));
    const [answer] = (await once(socket, "data")) as [Buffer];
    socket.destroy();
    return decodeMessage(answer.subarray(2)).rcode;
  };
  expect([await codeFor("PROXY TCP4 192.0.2.9 10.0.0.1 4000 53\r\n"), await codeFor("")]).toEqual([5, 0]);
});

test("an upstream that leads back is found, and nothing is forwarded any more", async () => {
  const server = await serve(".:53 {\n kubernetes cluster.local\n whoami\n}");
  const back = startDnsServer({
    listen: [{ ip: "127.0.0.1", port: 0 }],
    blocks: blocksOf(`.:53 {\n forward . 127.0.0.1:${server.addresses()[0]?.port}\n loop\n}`),
  });
  closing.push(() => back.close());
  await back.ready;
  const to = back.addresses()[0];
  await server.configure(blocksOf(`.:53 {\n kubernetes cluster.local\n forward . 127.0.0.1:${to?.port}\n loop\n}`));
  for (let i = 0; (await addressOf(server, `x${i}.example.org`)) !== 2; i++) await systemClock.sleep(50);
  expect(await addressOf(server, "web.shop.svc.cluster.local")).toBe("10.96.0.20");
});

test("imports are read at the file they stand in, and any text that changes is noticed", () => {
  const folder = mkdtempSync(join(tmpdir(), "fairway-corefile-"));
  closing.push(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "Corefile"), ".:53 {\n import *.part\n}\n");
  writeFileSync(join(folder, "b.part"), "whoami\n");
  writeFileSync(join(folder, "a.part"), "errors\nhosts local.hosts\n");
  const first = loadCorefile(join(folder, "Corefile"));
  expect(first.blocks.blocks[0]?.plugins.map((p) => (p.plugin === "hosts" ? p.file : p.plugin))).toEqual([
    "errors",
    join(folder, "local.hosts"),
    "whoami",
  ]);
  expect(loadCorefile(join(folder, "Corefile")).digest).toBe(first.digest);
  writeFileSync(join(folder, "b.part"), "whoami # still\n");
  expect(loadCorefile(join(folder, "Corefile")).digest).not.toBe(first.digest);
});

test("the default's text says what a server without a Corefile does", () => {
  const printed = blocksOf(printDefaultCorefile({ zones: ["cluster.local", "10.96.0.0/16"], forward: ["10.0.0.1"] }));
  const own = defaultBlocks({
    kubernetes: { zones: ["cluster.local.", "96.10.in-addr.arpa."], pods: "insecure", ttl: 5 },
    upstreams: [{ ip: "10.0.0.1", port: 53 }],
  });
  const plain = (b: DnsBlocks): unknown => b.blocks.map((x) => x.plugins);
  expect(plain(own)).toEqual(plain(printed));
  expect([own.zones, own.passing]).toEqual([printed.zones, printed.passing]);
});

test("the default in the operator's manual is the default", () => {
  const manual = readFileSync(join(import.meta.dirname, "../../../docs/operations.md"), "utf8").replace(/^ {4}/gm, "");
  expect(manual).toContain(
    printDefaultCorefile({ zones: ["cluster.local", "10.96.0.0/16", "10.244.0.0/16"], forward: ["/etc/resolv.conf"] }),
  );
});
