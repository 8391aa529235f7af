import type { Socket } from "node:net";
import { expect, test } from "vitest";
import type { ConnectionFactory } from "../../ingress/upstream/connection.ts";
import { giveBlock, takeBlock } from "../../ingress/upstream/lent-memory.ts";
import { connectionLab, Heard, hashOf, pattern } from "./connection-lab.ts";
import { tlsContract } from "./connections-tls.ts";

/** What every transport keeps; `make` gives one whose faults go to `onFault`. */
export function connectionContract(name: string, make: (onFault: (error: unknown) => void) => ConnectionFactory): void {
  const lab = connectionLab(make);
  const { factory, faults, accepted, endpoint, connected, securedClient, received } = lab;

  test(`${name}: what is written arrives, both ways, in order`, async () => {
    const { connection, heard, socket } = await accepted();
    const client = received(socket);
    socket.write("hello");
    await heard.until((h) => h.text === "hello");
    expect(connection.write("wor")).toBe(true);
    connection.cork();
    connection.write(Buffer.from("ld"));
    connection.write("\xe9");
    connection.write(Buffer.from("!"));
    connection.uncork();
    await client.until((h) => h.text === "world\xe9!");
    expect([connection.remoteIp, connection.remotePort]).toEqual(["127.0.0.1", socket.localPort]);
    expect(connection.localPort).toBe(socket.remotePort);
  });

  test(`${name}: a connection of ours to an endpoint, which speaks first`, async () => {
    const { port } = await endpoint((s) => s.end("first"));
    const { heard } = await connected(port);
    await heard.until((h) => h.ended);
    expect(heard.text).toBe("first");
  });

  test(`${name}: an endpoint that refuses is told with its error, and never ready`, async () => {
    const { port, server } = await endpoint(() => undefined);
    await new Promise<void>((resolve) => void server.close(() => resolve()));
    const heard = new Heard();
    let ready = false;
    factory.connect({ ip: "127.0.0.1", port, tls: false }, heard, () => {
      ready = true;
    });
    await heard.until((h) => h.closed);
    expect([ready, heard.error instanceof Error]).toEqual([false, true]);
  });

  test(`${name}: a slow reader makes writers wait, and loses nothing`, async () => {
    const { connection, socket } = await accepted();
    const data = pattern(24 * 1024 * 1024, 1);
    const heard = new Heard();
    connection.events = heard;
    let at = 0;
    let waits = 0;
    const pump = (): void => {
      while (at < data.length) {
        const room = connection.write(data.subarray(at, at + 60_001));
        at += 60_001;
        if (!room) {
          waits++;
          return;
        }
      }
      connection.end();
    };
    heard.onDrain = pump;
    pump();
    expect(at).toBeLessThan(data.length);
    const client = received(socket);
    await client.until((h) => h.ended);
    expect(waits).toBeGreaterThan(1);
    expect(client.digest.digest("hex")).toBe(hashOf(data));
  });

  test.for(["plain", "TLS"])(`${name}: lent memory is its lender's again once it was written, or uncorked, over %s`, async (way) => {
    const data = pattern(6 * 1024 * 1024, 8);
    const { connection, socket } = way === "TLS" ? await securedClient() : await accepted();
    const lent: Buffer[] = [];
    const takeBack = (): void => {
      for (const block of lent.splice(0)) {
        block.fill(0xff);
        giveBlock(block);
      }
    };
    const writeLent = (from: number): void => {
      const block = takeBlock();
      const to = Math.min(data.length, from + block.length);
      connection.write(`${String(from).padStart(8)}`);
      connection.write(block.subarray(0, data.copy(block, 0, from, to)));
      lent.push(block);
    };
    const client = received(socket.pause());
    let corked = false;
    for (let at = 0, i = 0; at < data.length; at += 16_384, i++) {
      if (i % 9 === 4) {
        connection.cork();
        corked = true;
      }
      writeLent(at);
      if (i % 9 === 8) {
        connection.uncork();
        corked = false;
      }
      if (!corked) takeBack();
      if (i % 50 === 49) await new Promise((resolve) => setImmediate(resolve));
    }
    if (corked) connection.uncork();
    takeBack();
    connection.end();
    socket.resume();
    await client.until((h) => h.ended);
    const want: Buffer[] = [];
    for (let at = 0; at < data.length; at += 16_384) want.push(Buffer.from(String(at).padStart(8)), data.subarray(at, at + 16_384));
    expect(client.digest.digest("hex")).toBe(hashOf(Buffer.concat(want)));
    socket.destroy();
  });

  test(`${name}: text and bytes keep their order, corked or not, within a turn and over turns`, async () => {
    const { connection, socket } = await accepted();
    const client = received(socket);
    let want = "";
    for (let i = 0; i < 300; i++) {
      const part = `<${i}${"-".repeat((i * 7) % 23)}>`;
      if (i % 11 === 3) connection.cork();
      connection.write(i % 3 === 0 ? Buffer.from(part) : part);
      if (i % 11 === 8) connection.uncork();
      want += part;
      if (i % 50 === 49) await client.until((h) => h.text.length >= want.length - 2_000);
    }
    connection.end();
    await client.until((h) => h.ended);
    expect(client.text).toBe(want);
  });

  test(`${name}: heads and short bodies of many connections in one turn each reach their own, past one that is stuck`, async () => {
    const lanes = await Promise.all(Array.from({ length: 70 }, () => accepted()));
    const [stuck, ...others] = lanes;
    if (stuck === undefined) return;
    const clients = others.map(({ socket }) => received(socket));
    const said = lanes.map(() => "");
    const say = (lane: (typeof lanes)[number], part: string, at: number): boolean => {
      said[lanes.indexOf(lane)] += part;
      lane.connection.write(part.slice(0, at));
      return lane.connection.write(Buffer.from(part.slice(at)));
    };
    let turns = 0;
    for (let room = true; room || turns % 8 !== 0; turns++) {
      // until the kernel takes no more of the one that nobody reads
      if (room) room = say(stuck, `stuck ${turns} ${"-".repeat(30_000)}${"=".repeat(6_000)}`, 30_000);
      for (const [i, lane] of others.entries()) say(lane, `<${i} ${turns}${".".repeat((turns * 131 + i * 37) % 1_200)}>`, 5);
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const { connection } of lanes) connection.end();
    const unstuck = new Heard();
    let last = "";
    stuck.socket.on("data", (b: Buffer) => {
      unstuck.digest.update(b);
      last = b.toString("latin1").slice(-1);
    });
    stuck.socket.on("end", () => unstuck.onEnd());
    await Promise.all([unstuck.until((h) => h.ended), ...clients.map((c) => c.until((h) => h.ended))]);
    expect(last).toBe("=");
    expect(unstuck.digest.digest("hex")).toBe(hashOf(Buffer.from(said[0] ?? "")));
    expect(clients.map((c) => c.digest.digest("hex"))).toEqual(said.slice(1).map((text) => hashOf(Buffer.from(text))));
  });

  test(`${name}: it is known that nothing of what was written has left`, async () => {
    const { connection, socket } = await accepted();
    const client = received(socket);
    expect(connection.unsent).toBe(false);
    connection.write("head");
    expect(connection.unsent).toBe(true);
    await client.until((h) => h.text === "head");
    expect(connection.unsent).toBe(false);
    connection.write("head");
    // more than waits for the end of a turn
    connection.write(Buffer.alloc(20_000, "x"));
    expect(connection.unsent).toBe(false);
    await client.until((h) => h.text === `headhead${"x".repeat(20_000)}`);
  });

  test(`${name}: who was told to wait while corked hears when there is room`, async () => {
    const { connection, heard, socket } = await accepted();
    const client = received(socket);
    connection.cork();
    let room = true;
    for (let i = 0; i < 5; i++) room = connection.write(Buffer.alloc(60_000));
    expect(room).toBe(false);
    connection.uncork();
    await heard.until((h) => h.drains > 0);
    await client.until((h) => h.bytes === 300_000);
  });

  test(`${name}: what one connection read and a slow one has yet to send is not read over`, async () => {
    const size = 6 * 1024 * 1024;
    const { port } = await endpoint((s) => {
      s.once("data", (b: Buffer) => s.end(pattern(size, b[0] ?? 0)));
    });
    const lanes = await Promise.all(
      Array.from({ length: 4 }, async (_, i) => {
        const down = await accepted();
        const up = await connected(port);
        down.heard.onDrain = () => up.connection.resume();
        up.heard.onBytes = (b) => {
          if (!down.connection.write(b)) up.connection.pause();
        };
        up.heard.onEnd = () => down.connection.end();
        return { i, down, up };
      }),
    );
    for (const { i, up } of lanes) up.connection.write(String.fromCharCode(i));
    // nobody reads: all of them get stuck with something in hand
    await Promise.all(lanes.map(({ up }) => up.heard.until((h) => h.bytes > 200_000)));
    const clients = lanes.map(({ down }) => received(down.socket));
    await Promise.all(clients.map((c) => c.until((h) => h.ended)));
    expect(clients.map((c) => c.digest.digest("hex"))).toEqual(lanes.map(({ i }) => hashOf(pattern(size, i))));
  });

  test(`${name}: bodies of clients that go to a slow endpoint are not read over either`, async () => {
    const size = 6 * 1024 * 1024;
    const sinks: Socket[] = [];
    const { port } = await endpoint((s) => void sinks.push(s.pause()));
    const lanes = await Promise.all(
      Array.from({ length: 4 }, async (_, i) => {
        const down = await accepted();
        const up = await connected(port);
        up.heard.onDrain = () => down.connection.resume();
        down.heard.onBytes = (b) => {
          if (!up.connection.write(b)) down.connection.pause();
        };
        down.heard.onEnd = () => up.connection.end();
        return { i, down };
      }),
    );
    for (const { i, down } of lanes) down.socket.end(pattern(size, i));
    await Promise.all(lanes.map(({ down }) => down.heard.until((h) => h.bytes > 200_000)));
    while (sinks.length < lanes.length) await new Promise((resolve) => setImmediate(resolve));
    const got = sinks.map(received);
    for (const s of sinks) s.resume();
    await Promise.all(got.map((g) => g.until((h) => h.ended)));
    expect(got.map((g) => g.digest.digest("hex")).sort()).toEqual(lanes.map(({ i }) => hashOf(pattern(size, i))).sort());
  });

  test(`${name}: each side ends by itself`, async () => {
    const { connection, heard, socket } = await accepted();
    const client = received(socket);
    socket.end("last words");
    await heard.until((h) => h.ended);
    expect(heard.text).toBe("last words");
    connection.write("and ");
    connection.write("mine");
    connection.end();
    await client.until((h) => h.ended);
    expect(client.text).toBe("and mine");
    await heard.until((h) => h.closed);
    expect(heard.error).toBeUndefined();
  });

  test(`${name}: end before the other side's: it may go on`, async () => {
    const { connection, heard, socket } = await accepted();
    const client = received(socket);
    connection.end();
    await client.until((h) => h.ended);
    socket.end("still here");
    await heard.until((h) => h.ended);
    expect(heard.text).toBe("still here");
    await heard.until((h) => h.closed);
  });

  test(`${name}: who finishes sends all it has said, and does not wait for the other side`, async () => {
    const { connection, heard, socket } = await accepted();
    connection.write("last ");
    connection.write("words");
    connection.finish();
    await heard.until((h) => h.closed);
    expect(heard.error).toBeUndefined();
    const client = received(socket);
    await client.until((h) => h.ended);
    expect(client.text).toBe("last words");
  });

  test(`${name}: who finishes waits until the kernel has what a slow reader leaves`, async () => {
    const { connection, heard, socket } = await accepted();
    const data = pattern(24 * 1024 * 1024, 6);
    connection.write(data);
    connection.finish();
    socket.write("ignored");
    await heard.until((h) => h.text === "ignored");
    expect(heard.closed).toBe(false);
    const client = received(socket);
    await client.until((h) => h.ended);
    expect(client.digest.digest("hex")).toBe(hashOf(data));
    await heard.until((h) => h.closed);
    expect(heard.error).toBeUndefined();
  });

  test(`${name}: a pause holds bytes back, resume gives them`, async () => {
    const { connection, heard, socket } = await accepted();
    connection.pause();
    socket.write("later");
    // a second connection of the same listener is served meanwhile, so the first had its chance
    const other = await accepted();
    other.socket.write("now");
    await other.heard.until((h) => h.text === "now");
    expect(heard.text).toBe("");
    connection.resume();
    await heard.until((h) => h.text === "later");
  });

  /** Two, of which each has bytes to read in the same turn. */
  async function readTogether(act: (other: Awaited<ReturnType<typeof accepted>>) => void): Promise<Awaited<ReturnType<typeof accepted>>> {
    const lanes = [await accepted(), await accepted()] as const;
    const [one, two] = lanes;
    let first: (typeof lanes)[number] | undefined;
    for (const lane of lanes)
      lane.heard.onBytes = () => {
        if (first !== undefined) return;
        first = lane;
        act(lane === one ? two : one);
      };
    for (const { socket } of lanes) socket.end("said");
    await Promise.race(lanes.map(({ heard }) => heard.until((h) => h.text === "said")));
    return first === one ? two : one;
  }

  test(`${name}: what was read in the turn of a pause is told after it, and its end behind it`, async () => {
    const { connection, heard } = await readTogether((other) => other.connection.pause());
    const third = await accepted();
    third.socket.write("meanwhile");
    await third.heard.until((h) => h.text === "meanwhile");
    expect([heard.text, heard.ended]).toEqual(["", false]);
    connection.resume();
    connection.pause();
    connection.resume();
    await heard.until((h) => h.ended);
    expect(heard.text).toBe("said");
  });

  test(`${name}: what was read in the turn of an abort is not told`, async () => {
    const { heard } = await readTogether((other) => other.connection.abort());
    await heard.until((h) => h.closed);
    expect([heard.text, heard.ended, heard.error]).toEqual(["", false, undefined]);
  });

  test(`${name}: what was read in the turn in which its socket is given up is the socket's`, async () => {
    let given: Socket | undefined;
    await readTogether((other) => {
      given = other.connection.detach?.(Buffer.from("unread, "));
    });
    if (given === undefined) throw new Error("there was no socket to give up");
    const got = received(given);
    given.resume();
    await got.until((h) => h.ended);
    expect(got.text).toBe("unread, said");
    given.destroy();
  });

  test(`${name}: what is said because of some bytes leaves before their end is told`, async () => {
    const [from, to] = [await accepted(), await accepted()];
    const client = received(to.socket);
    from.heard.onBytes = () => void to.connection.write("heard");
    const onEnd = from.heard.onEnd.bind(from.heard);
    from.heard.onEnd = () => {
      to.connection.abort();
      onEnd();
    };
    from.socket.end("said");
    await client.until((h) => h.closed || h.ended);
    expect(client.text).toBe("heard");
  });

  test(`${name}: abort ends both sides at once, once; what is written then is dropped`, async () => {
    const { connection, heard, socket } = await accepted();
    const client = received(socket);
    let closes = 0;
    const onClose = heard.onClose.bind(heard);
    heard.onClose = (e) => {
      closes++;
      onClose(e);
    };
    connection.abort();
    connection.abort();
    expect(connection.write("nobody")).toBe(true);
    connection.end();
    await client.until((h) => h.closed || h.ended);
    await heard.until((h) => h.closed);
    expect([client.text, closes]).toEqual(["", 1]);
  });

  test(`${name}: abort with a write under way`, async () => {
    const { connection, heard } = await accepted();
    while (connection.write(pattern(1024 * 1024, 1)));
    connection.abort();
    await heard.until((h) => h.closed);
  });

  test(`${name}: reset cannot be taken for an orderly end`, async () => {
    const { connection, heard, socket } = await accepted();
    const client = received(socket);
    connection.write("half");
    await client.until((h) => h.text === "half");
    connection.reset();
    await client.until((h) => h.closed);
    await heard.until((h) => h.closed);
    expect(client.ended).toBe(false);
    expect(client.error).toMatchObject({ code: "ECONNRESET" });
  });

  test(`${name}: a client that resets is told as an error`, async () => {
    const { heard, socket } = await accepted();
    socket.resetAndDestroy();
    await heard.until((h) => h.closed);
    expect(heard.error).toBeInstanceOf(Error);
  });

  test(`${name}: a fault of a reader costs its own connection only`, async () => {
    const one = await accepted();
    const two = await accepted();
    one.heard.onBytes = () => {
      throw new Error("fault");
    };
    one.socket.write("x");
    await one.heard.until((h) => h.closed);
    expect(faults).toHaveLength(1);
    two.socket.write("y");
    await two.heard.until((h) => h.text === "y");
  });

  test(`${name}: a reader may end, abort and write from within onData`, async () => {
    const { connection, heard, socket } = await accepted();
    const client = received(socket);
    heard.onBytes = () => {
      connection.write("bye");
      connection.end();
    };
    socket.write("x");
    await client.until((h) => h.ended);
    expect(client.text).toBe("bye");
    const second = await accepted();
    second.heard.onBytes = () => second.connection.abort();
    second.socket.write("x");
    await second.heard.until((h) => h.closed);
  });

  test(`${name}: a connection can be handed back as a socket, with what was read of it`, async () => {
    const { connection, heard, socket } = await accepted();
    socket.write("one,");
    await heard.until((h) => h.text === "one,");
    const back = connection.detach?.(Buffer.from("one,"));
    if (back === undefined) throw new Error("a connection over a socket has it to give");
    socket.write("two");
    const parts = new Heard();
    back.on("data", (b: Buffer) => parts.onData(b));
    back.resume();
    await parts.until((h) => h.text === "one,two");
    const client = received(socket);
    back.end("three");
    await client.until((h) => h.ended);
    expect([client.text, heard.text]).toEqual(["three", "one,"]);
    back.destroy();
  });

  tlsContract(name, lab);
}
