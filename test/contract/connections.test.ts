import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { handleConnections } from "../../ingress/upstream/handle-connection.ts";
import { listenForHandles } from "../../ingress/upstream/listen-for-handles.ts";
import { netConnections } from "../../ingress/upstream/net-connection.ts";
import { rings } from "../../ingress/upstream/rings.ts";
import { streamBindings } from "../../ingress/upstream/stream-handles.ts";
import { connectionContract } from "./connections.ts";

connectionContract("node:net", netConnections);

test("this Node has the handles that the fast transport knows", () => {
  expect(handleConnections(() => undefined)).toBeDefined();
});

test("this Node gives connections as handles, before a socket is made for each", async () => {
  const bindings = streamBindings();
  if (bindings === undefined) throw new Error("the fast transport has no bindings");
  const accepted = Promise.withResolvers<string>();
  const listening = listenForHandles({ ip: "127.0.0.1", port: 0 }, bindings, {
    onLife: (life) => {
      accepted.resolve(`${life.remoteIp} ${life.remotePort} ${life.localPort}`);
      life.destroy();
    },
    onSocket: () => accepted.resolve("a socket"),
  });
  await listening.ready;
  const { port } = listening.address();
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    expect(await accepted.promise).toBe(`127.0.0.1 ${socket.localPort} ${port}`);
  } finally {
    socket.destroy();
    await listening.close();
  }
});

connectionContract("handles", (onFault) => handleConnections(onFault) ?? netConnections(onFault));

const both = rings();
if (both !== undefined) connectionContract("rings", (onFault) => handleConnections(onFault, both) ?? netConnections(onFault));
