import { createServer as createTlsServer } from "node:tls";
import { expect, test } from "vitest";
import { selfSignedCertificate } from "../../ingress/proxy/default-certificate.ts";
import { listenForSockets } from "../../ingress/upstream/net-connection.ts";
import { type ConnectionLab, Heard, hashOf, here, pattern } from "./connection-lab.ts";

/** What every transport keeps over TLS. */
export function tlsContract(name: string, lab: ConnectionLab): void {
  const { factory, open, accepted, received } = lab;
  securedContract(`${name}, TLS of sockets`, lab, () => lab.secured());
  if (factory.listenBare !== undefined) securedContract(`${name}, TLS of bare clients`, lab, () => lab.secured("bare clients"));

  test(`${name}: bodies in parts for an endpoint over TLS are not read over before they are sent`, async () => {
    const size = 600_000;
    const pair = selfSignedCertificate(Date.now());
    const got: Heard[] = [];
    const tls = createTlsServer({ cert: pair.certificate, key: pair.key }, (s) => void got.push(received(s)));
    const listening = listenForSockets(here, (s) => tls.emit("connection", s));
    await listening.ready;
    open.push(() => void listening.close());
    const to = { ip: "127.0.0.1", port: listening.address().port, tls: true };
    const lanes = await Promise.all(
      Array.from({ length: 4 }, async (_, i) => {
        const down = await accepted();
        const ready = Promise.withResolvers<void>();
        const heard = new Heard();
        const up = factory.connect(to, heard, () => ready.resolve());
        open.push(() => up.abort());
        await ready.promise;
        heard.onDrain = () => down.connection.resume();
        down.heard.onBytes = (b) => {
          let room = true;
          for (let at = 0; at < b.length; at += 20_000) room = up.write(b.subarray(at, at + 20_000));
          if (!room) down.connection.pause();
        };
        down.heard.onEnd = () => up.end();
        return { i, down };
      }),
    );
    for (const { i, down } of lanes) down.socket.end(pattern(size, i));
    while (got.length < lanes.length) await new Promise((resolve) => setImmediate(resolve));
    await Promise.all(got.map((g) => g.until((h) => h.bytes === size)));
    expect(got.map((g) => g.digest.digest("hex")).sort()).toEqual(lanes.map(({ i }) => hashOf(pattern(size, i))).sort());
  });
}

function securedContract(name: string, { endpoint, connected, received }: ConnectionLab, secured: ConnectionLab["secured"]): void {
  test(`${name}: TLS, both ways, with more than fits at once`, async () => {
    const { socket, arrived } = await secured();
    const up = pattern(3_000_000, 3);
    const down = pattern(5_000_000, 4);
    socket.write("early");
    socket.write(up);
    const { connection, heard } = await arrived;
    await heard.until((h) => h.bytes === up.length + 5);
    // many writes while one is under way
    for (let at = 0; at < down.length; at += 70_000) connection.write(down.subarray(at, at + 70_000));
    connection.write("late");
    connection.end();
    const client = received(socket);
    await client.until((h) => h.bytes === down.length + 4);
    await client.until((h) => h.closed);
    expect(client.digest.digest("hex")).toBe(hashOf(Buffer.concat([down, Buffer.from("late")])));
    expect(heard.digest.digest("hex")).toBe(hashOf(Buffer.concat([Buffer.from("early"), up])));
    socket.destroy();
  });

  test(`${name}: bytes that come with the end of the handshake, and an end behind them, are told in order`, async () => {
    const { socket, arrived } = await secured();
    socket.end("all at once");
    const { heard } = await arrived;
    await heard.until((h) => h.closed);
    expect([heard.text, heard.ended, heard.error]).toEqual(["all at once", true, undefined]);
  });

  test(`${name}: a client that says what nobody encrypted is done with`, async () => {
    const { socket, below, arrived } = await secured();
    socket.on("error", () => undefined);
    below.on("error", () => undefined);
    const { heard } = await arrived;
    below.write(Buffer.concat([Buffer.from([23, 3, 3, 0, 40]), Buffer.alloc(40, 1)]));
    await heard.until((h) => h.closed);
    expect([heard.ended, heard.error instanceof Error]).toEqual([false, true]);
  });

  test(`${name}: a client that is reset has gone`, async () => {
    const { socket, below, arrived } = await secured();
    socket.on("error", () => undefined);
    const { heard } = await arrived;
    below.resetAndDestroy();
    await heard.until((h) => h.closed);
    expect(heard.text).toBe("");
  });

  test(`${name}: who finishes over TLS says so, and does not wait for the other side`, async () => {
    const { socket, arrived } = await secured();
    socket.on("error", () => undefined);
    const { connection, heard } = await arrived;
    const data = pattern(3_000_000, 7);
    connection.write(data);
    connection.finish();
    const client = received(socket);
    await client.until((h) => h.ended);
    expect([client.digest.digest("hex"), client.error]).toEqual([hashOf(data), undefined]);
    await heard.until((h) => h.closed);
    expect(heard.error).toBeUndefined();
  });

  test(`${name}: TLS to a slow client: what was read for it is not read over before it is sent`, async () => {
    const bytes = pattern(6 * 1024 * 1024, 5);
    const { port } = await endpoint((s) => s.end(bytes));
    const { socket, arrived } = await secured();
    const down = await arrived;
    const up = await connected(port);
    down.heard.onDrain = () => up.connection.resume();
    up.heard.onBytes = (b) => {
      if (!down.connection.write(b)) up.connection.pause();
    };
    up.heard.onEnd = () => down.connection.end();
    const client = received(socket.pause());
    socket.pause();
    await up.heard.until((h) => h.bytes > 200_000);
    socket.resume();
    await client.until((h) => h.bytes === bytes.length);
    expect(client.digest.digest("hex")).toBe(hashOf(bytes));
  });
}
