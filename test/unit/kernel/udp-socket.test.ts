import { once } from "node:events";
import { expect, it } from "vitest";
import { createUdpSocket } from "../../../src/kernel/udp-socket.ts";

it.each(["127.0.0.1", "::1"])("sends to an address of %s before the call returns", async (ip) => {
  const [from, to] = [createUdpSocket(ip), createUdpSocket(ip)];
  try {
    for (const socket of [from, to]) socket.bind(0, ip);
    const bytes = Buffer.from("sent at once");
    const received = once(to, "message");
    from.send(bytes, to.address().port, ip);
    // what is sent in a later turn would be this
    bytes.fill(0);
    expect(String((await received)[0])).toBe("sent at once");
  } finally {
    from.close();
    to.close();
  }
});
