import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readCorefile } from "../../../dns/corefile/server-blocks.ts";
import { exchangeUdp } from "../../../dns/forward/exchange-udp.ts";
import { queryOnce } from "../../../dns/forward/query-once.ts";
import { plainConnection } from "../../../dns/forward/tcp-connection.ts";
import { questionMessage } from "../../../dns/handler/handler.ts";
import { startSecondary } from "../../../dns/handler/secondary.ts";
import { type DnsServer, startDnsServer } from "../../../dns/server/dns-server.ts";
import { decodeMessage, encodeMessage, type Message } from "../../../dns/wire/message.ts";
import { opcodeNotify, printRcode, printType, typeNumbers } from "../../../dns/wire/record-type.ts";
import { parseRecord, printRecord } from "../../../dns/wire/zone-file.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/observe/log.ts";
import { coreDnsProgram, startCoreDns } from "../../support/coredns.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const origin = "big.test.";
/** A zone whose records have no room in one message: `hosts` names of about 40 bytes each, with an address that `serial` is in. */
const zoneText = (serial: number, hosts: number): string =>
  [
    "$ORIGIN big.test.",
    `@ 60 IN SOA ns hostmaster ${serial} 3600 600 86400 60`,
    "@ 60 IN NS ns",
    "ns 60 IN A 10.9.0.1",
    ...Array.from({ length: hosts }, (_, i) => `host-number-${i}-of-a-large-zone 60 IN A 10.${serial}.${i >> 8}.${i & 255}`),
    "",
  ].join("\n");

let dir = "";
const running: DnsServer[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "fairway-secondary-"));
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close()));
  rmSync(dir, { recursive: true });
});

const write = (serial: number, hosts: number): void => writeFileSync(join(dir, "db.big"), zoneText(serial, hosts));
async function start(corefile: string): Promise<number> {
  const server = startDnsServer({
    listen: [{ ip: "127.0.0.1", port: 0 }],
    blocks: readCorefile(corefile, "Corefile", { folder: dir }),
    upstreams: [],
  });
  running.push(server);
  await server.ready;
  return server.addresses()[0]?.port ?? 0;
}
const primary = (to: string): Promise<number> => start(`big.test {\n file db.big {\n reload 200ms\n }\n transfer {\n to ${to}\n }\n}`);
const addressOf = async (port: number, name: string): Promise<string> => {
  const answer = await queryOnce({ ip: "127.0.0.1", port }, name, { timeout: 20_000 });
  return answer.answers.map((r) => (r.data.kind === "A" ? r.data.ip : r.data.kind)).join() || printRcode(answer.rcode);
};
const whole = async (port: number, type: number, serial?: number): Promise<Message> => {
  const { edns: _, ...query } = questionMessage({ name: origin, type, class: 1 }, { id: 5 });
  const authority = serial === undefined ? [] : [parseRecord(`${origin} 0 IN SOA a. b. ${serial} 0 0 0 0`)];
  const tcp = plainConnection({ ip: "127.0.0.1", port });
  return tcp.exchange({ ...query, authority }, AbortSignal.timeout(20_000)).finally(() => tcp.close());
};

test("a zone of more than one message is given whole, taken over, and given on; a change is told and follows", async () => {
  write(1, 3000);
  // whoever hears of a change asks for it: the second server's port is known only when it is open
  const second = startDnsServer({
    listen: [{ ip: "127.0.0.1", port: 0 }],
    blocks: readCorefile("other.test {\n whoami\n}", "Corefile", { folder: dir }),
    upstreams: [],
  });
  running.push(second);
  await second.ready;
  const port = second.addresses()[0]?.port ?? 0;
  const first = await primary(`127.0.0.1:${port} *`);
  const from = `secondary {\n transfer from 127.0.0.1:${first}\n }\n transfer {\n to *\n }`;
  await second.configure(readCorefile(`big.test {\n ${from}\n}`, "Corefile", { folder: dir }));

  await expect.poll(() => addressOf(port, "host-number-2999-of-a-large-zone.big.test.")).toBe("10.1.11.183");
  const third = await start(`big.test {\n secondary {\n transfer from 127.0.0.1:${port}\n }\n}`);
  await expect.poll(() => addressOf(third, "host-number-2999-of-a-large-zone.big.test.")).toBe("10.1.11.183");
  expect((await whole(port, typeNumbers.AXFR)).answers.length).toBeGreaterThan(50);

  // its refresh is in an hour: what comes sooner comes by NOTIFY
  write(2, 10);
  await expect.poll(() => addressOf(port, "host-number-9-of-a-large-zone.big.test.")).toBe("10.2.0.9");
  expect(await addressOf(port, "host-number-2999-of-a-large-zone.big.test.")).toBe("NXDOMAIN");
});

test("IXFR of the current serial, and over UDP, is the SOA alone; of another the whole zone", async () => {
  write(7, 5);
  const port = await primary("*");
  const kinds = (m: Message): readonly string[] => m.answers.map((r) => r.data.kind);
  expect(kinds(await whole(port, typeNumbers.IXFR, 7))).toEqual(["SOA"]);
  expect(kinds(await whole(port, typeNumbers.IXFR, 6))).toEqual(["SOA", "NS", "A", "A", "A", "A", "A", "A", "SOA"]);
  expect(kinds(await queryOnce({ ip: "127.0.0.1", port }, origin, { type: "IXFR", transport: "udp" }))).toEqual(["SOA"]);
  expect((await queryOnce({ ip: "127.0.0.1", port }, origin, { type: "AXFR", transport: "udp" })).rcode).toBe(5);
});

test("IXFR of a serial that the file had is what changed since", async () => {
  write(7, 5);
  const port = await primary("*");
  expect((await whole(port, typeNumbers.IXFR, 7)).answers.length).toBe(1);
  const later = zoneText(7, 4).replace(" 7 3600", " 9 3600");
  writeFileSync(join(dir, "db.big"), `${later}more 60 IN A 10.9.9.9\n`);
  const serialNow = async (): Promise<number> => {
    const [soa] = (await queryOnce({ ip: "127.0.0.1", port }, origin, { type: "SOA", timeout: 20_000 })).answers;
    return soa?.data.kind === "SOA" ? soa.data.serial : 0;
  };
  while ((await serialNow()) !== 9) await systemClock.sleep(50);
  const { answers } = await whole(port, typeNumbers.IXFR, 7);
  expect(answers.map((r) => (r.data.kind === "SOA" ? r.data.serial : r.name))).toEqual([
    9,
    7,
    "host-number-4-of-a-large-zone.big.test.",
    9,
    "more.big.test.",
    9,
  ]);
});

/** One port for UDP and TCP: nobody else has this address. */
const ownAddress = `127.90.${(process.pid >> 8) & 255}.${process.pid & 255 || 1}`;

describe("IXFR", () => {
  const soa = (serial: number): string => `${origin} 60 IN SOA ns.${origin} h.${origin} ${serial} 3600 600 86400 60`;
  const address = (n: number): string => `host-${n}.${origin} 60 IN A 10.0.0.${n}`;
  const whole3 = [soa(3), `${origin} 60 IN NS ns.${origin}`, address(2), address(4), soa(3)];
  /** Zone 1 has addresses 1 and 2. What a primary answers to the first AXFR, to IXFR, and to the AXFR after it. */
  test.each<[string, readonly (readonly string[])[] | "NOTIMP", readonly string[], readonly string[]]>([
    ["gives what changed", [[soa(3), soa(1), address(1), soa(3), address(4), soa(3)]], ["SOA", "IXFR"], ["2", "4"]],
    [
      "gives several changes, in several messages",
      [
        [soa(3), soa(1), address(1), soa(2)],
        [address(3), soa(2), address(3)],
        [soa(3), address(4), soa(3)],
      ],
      ["SOA", "IXFR"],
      ["2", "4"],
    ],
    ["only takes away", [[soa(3), soa(1), address(1), soa(3), soa(3)]], ["SOA", "IXFR"], ["2"]],
    ["may give the whole zone", [whole3], ["SOA", "IXFR"], ["2", "4"]],
    ["may give the whole zone, a record a message", whole3.map((line) => [line]), ["SOA", "IXFR"], ["2", "4"]],
    ["that the primary does not know is followed by AXFR", "NOTIMP", ["SOA", "IXFR", "AXFR"], ["2", "4"]],
    [
      "of something else than what is known is followed by AXFR",
      [[soa(3), soa(1), address(9), soa(3), soa(3)]],
      ["SOA", "IXFR", "AXFR"],
      ["2", "4"],
    ],
    ["of another serial too", [[soa(3), soa(2), soa(3), address(4), soa(3)]], ["SOA", "IXFR", "AXFR"], ["2", "4"]],
    ["that says that nothing changed too", [[soa(1)]], ["SOA", "IXFR", "AXFR"], ["2", "4"]],
  ])("%s", async (_, changes, asked, want) => {
    const questions: string[] = [];
    const messagesFor = (type: string): readonly (readonly string[])[] | "NOTIMP" => {
      if (type === "IXFR") return changes;
      if (type === "SOA") return [[soa(3)]];
      return questions.length === 1 ? [[soa(1), `${origin} 60 IN NS ns.${origin}`, address(1), address(2), soa(1)]] : [whole3];
    };
    const replies = (bytes: Uint8Array): readonly Uint8Array[] => {
      const { edns: _edns, ...query } = decodeMessage(bytes);
      const type = printType(query.questions[0]?.type ?? 0);
      questions.push(type);
      const messages = messagesFor(type);
      const reply = { ...query, isResponse: true, authority: [] };
      if (messages === "NOTIMP") return [encodeMessage({ ...reply, rcode: 4 })];
      return messages.map((lines) => encodeMessage({ ...reply, answers: lines.map(parseRecord) }));
    };
    const tcp = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", (data: Buffer) => {
        for (const reply of replies(data.subarray(2)))
          socket.write(Buffer.concat([Buffer.from([reply.length >> 8, reply.length & 255]), reply]));
      });
    }).listen(0, ownAddress);
    await once(tcp, "listening");
    const at = tcp.address();
    const port = typeof at === "object" && at !== null ? at.port : 0;
    const udp = createSocket("udp4", (data, from) => {
      for (const reply of replies(data)) udp.send(reply, from.port, from.address);
    });
    udp.bind(port, ownAddress);
    await once(udp, "listening");
    const clock = new FakeClock();
    const secondary = startSecondary(
      { zone: origin, from: [{ ip: ownAddress, port }], changed: () => {} },
      { clock, random: () => 0, log: silentLog },
    );
    await secondary.ready;
    expect(secondary.data()?.serial).toBe(1);
    await clock.advance(1000);
    await clock.advance(3_599_000);
    await expect.poll(() => secondary.data()?.serial).toBe(3);
    const hosts = secondary.data()?.records.flatMap(({ name, data }) => (data.kind === "A" ? [`${name} ${data.ip}`] : []));
    expect(hosts).toEqual(want.map((n) => `host-${n}.${origin} 10.0.0.${n}`));
    expect(questions).toEqual(["AXFR", ...asked]);
    await secondary.close();
    tcp.close();
    udp.close();
  });
});

test("acl decides who may have a zone before transfer does", async () => {
  write(1, 5);
  const port = await start("big.test {\n acl {\n block type AXFR\n }\n file db.big\n transfer {\n to *\n }\n}");
  const answer = await whole(port, typeNumbers.AXFR);
  expect([printRcode(answer.rcode), answer.answers.length]).toEqual(["REFUSED", 0]);
  expect(await addressOf(port, "ns.big.test.")).toBe("10.9.0.1");
});

describe("NOTIFY", () => {
  const notice = (name: string, type: number): Message => ({
    ...questionMessage({ name, type, class: 1 }, { id: 9 }),
    opcode: opcodeNotify,
    recursionDesired: false,
  });
  test.each([
    ["of a primary", "127.0.0.1", origin, typeNumbers.SOA, "NOERROR"],
    ["of somebody else", "127.0.0.9", origin, typeNumbers.SOA, "REFUSED"],
    ["of another zone", "127.0.0.1", "sub.big.test.", typeNumbers.SOA, "NOTIMP"],
    ["of something else than a SOA", "127.0.0.1", origin, typeNumbers.A, "NOTIMP"],
  ])("%s", async (_, from, name, type, want) => {
    const port = await start(`big.test {\n secondary {\n transfer from ${from}:1\n }\n}`);
    const answer = await exchangeUdp({ ip: "127.0.0.1", port }, notice(name, type), AbortSignal.timeout(20_000));
    expect([answer.isResponse, answer.opcode, printRcode(answer.rcode)]).toEqual([true, opcodeNotify, want]);
  });
});

test("a zone is kept as long as its SOA says while its primary is away, and tried again meanwhile", async () => {
  write(1, 1);
  const server = await primary("*");
  const clock = new FakeClock();
  const lines: string[] = [];
  const log = Object.assign((_: string, line: string) => void lines.push(line), { child: () => silentLog });
  const secondary = startSecondary(
    { zone: origin, from: [{ ip: "127.0.0.1", port: server }], changed: () => void lines.push("changed") },
    { clock, random: () => 0, log },
  );
  const tries = (): number => lines.filter((line) => line.startsWith("secondary: no transfer")).length;
  await secondary.ready;
  expect(secondary.data()?.serial).toBe(1);
  expect(lines).toContain("changed");
  await running.splice(0)[0]?.close();
  // one refresh, then a retry every ten minutes
  await clock.advance(1000);
  await clock.advance(3_599_000);
  await expect.poll(tries).toBe(1);
  await clock.advance(1000);
  await clock.advance(599_000);
  await expect.poll(tries).toBe(2);
  expect(secondary.data()?.serial).toBe(1);
  await clock.advance(86_400_000);
  expect(secondary.data()).toBeUndefined();
  await secondary.close();
});

// a rival that is asked only where somebody gives it
if (coreDnsProgram !== undefined) {
  test("CoreDNS has our zone, and we have the one it got", { timeout: 120_000 }, async () => {
    write(3, 3000);
    const first = await primary("*");
    const peer = await startCoreDns(
      (port) => `big.test:${port} {\n bind 127.0.0.1\n secondary {\n transfer from 127.0.0.1:${first}\n }\n transfer {\n to *\n }\n}`,
    );
    try {
      const name = "host-number-2999-of-a-large-zone.big.test.";
      await expect.poll(() => addressOf(peer.port, name).catch(String), { timeout: 20_000 }).toBe("10.3.11.183");
      const third = await start(`big.test {\n secondary {\n transfer from 127.0.0.1:${peer.port}\n }\n}`);
      await expect.poll(() => addressOf(third, name)).toBe("10.3.11.183");
      const soa = await queryOnce({ ip: "127.0.0.1", port: third }, origin, { type: "SOA" });
      expect(soa.answers.map(printRecord)).toEqual(["big.test. 60 IN SOA ns.big.test. hostmaster.big.test. 3 3600 600 86400 60"]);
    } finally {
      await peer.close();
    }
  });
}
