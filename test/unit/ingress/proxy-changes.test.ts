import { connect as tlsConnect } from "node:tls";
import { describe, expect, test } from "vitest";
import { type ConnectionFactory, startIngressServer } from "../../../ingress/index.ts";
import { netConnections } from "../../../ingress/upstream/net-connection.ts";
import { get, makeTable, ok, poolOf, proxyScene, RawClient } from "./proxy-lab.ts";

describe.for(["auto", "portable"] as const)("over the transport %s", (transport) => {
  const { endpoint, lab, client, closeLater } = proxyScene(transport);

  test("an endpoint that left gets no new request; its idle connections are closed", async () => {
    const old = await endpoint(ok);
    const next = await endpoint(ok);
    const { ingress, http } = await lab([old.port]);
    const c = client(http);
    await c.send(get()).until((t) => t.endsWith("ok"));
    const gone = new Promise<void>((resolve) => {
      for (const s of old.sockets) s.on("close", () => resolve());
    });
    ingress.apply({
      revision: 2,
      full: false,
      routes: { upserts: [], deletes: [] },
      pools: { upserts: [poolOf([next.port])], deletes: [] },
      certificates: { upserts: [], deletes: [] },
    });
    await gone;
    await c.send(get()).until((t) => t.split("200 OK").length === 3);
    expect([old.seen.length, next.seen.length]).toEqual([1, 1]);
  });

  test("who waits for a connection to an endpoint that leaves is sent to the next at once", async () => {
    const next = await endpoint(ok);
    let waiting = 0;
    const connections = netConnections(() => undefined);
    // an endpoint behind which nobody answers, not even with a refusal
    const silent: ConnectionFactory = {
      listen: (at, accept) => connections.listen(at, accept),
      adopt: (socket) => connections.adopt(socket),
      connect: (to, events, onReady) => {
        if (to.port !== 9) return connections.connect(to, events, onReady);
        waiting++;
        return {
          events,
          remoteIp: "",
          remotePort: 0,
          localPort: 0,
          unsent: false,
          queuedBytes: 0,
          write: () => true,
          cork() {},
          uncork() {},
          pause() {},
          resume() {},
          end() {},
          finish() {},
          abort() {},
          reset() {},
        };
      },
    };
    const { ingress, http } = await lab([9], { connections: silent });
    const c = client(http).send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi");
    while (waiting === 0) await new Promise((resolve) => setImmediate(resolve));
    const nothing = { upserts: [], deletes: [] };
    ingress.apply({
      revision: 2,
      full: false,
      routes: nothing,
      pools: { upserts: [poolOf([next.port])], deletes: [] },
      certificates: nothing,
    });
    expect(await c.until((t) => t.endsWith("ok"))).toMatch(/^HTTP\/1\.1 200/);
    expect([waiting, next.seen[0]?.body]).toEqual([1, "hi"]);
  });

  test("drain: requests under way finish, the answer says close, new connections are refused", async () => {
    let answerLater: () => void = () => undefined;
    const up = await endpoint((r) => {
      answerLater = () => ok(r);
    });
    const { ingress, http } = await lab([up.port], { config: { timeouts: { grace: 0 } } });
    const busy = client(http).send(get());
    while (up.seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const drained = ingress.drain({ withinMs: 5_000 });
    await new Promise((resolve) => setImmediate(resolve));
    const late = client(http);
    await late.untilEnd();
    expect(late.text).toBe("");
    answerLater();
    expect(await busy.untilEnd()).toMatch(/Connection: close\r\n\r\nok$/);
    await drained;
  });

  test("drain: a handshake under way comes to its end, and the request after it is answered", async () => {
    const up = await endpoint(ok);
    const { ingress, https } = await lab([up.port], { config: { https: [{ ip: "127.0.0.1", port: 0 }], timeouts: { grace: 0 } } });
    const early = client(https);
    // who comes later and is answered says that the first was accepted
    const late = new RawClient(tlsConnect({ port: https, host: "127.0.0.1", rejectUnauthorized: false }));
    await late.send(get("/", "Connection: close\r\n")).untilEnd();
    late.socket.destroy();
    const drained = ingress.drain({ withinMs: 60_000 });
    const slow = new RawClient(tlsConnect({ socket: early.socket, rejectUnauthorized: false }));
    expect(await slow.send(get()).untilEnd()).toMatch(/Connection: close\r\n\r\nok$/);
    await drained;
  });

  test("told again to drain, the shorter time holds", async () => {
    const up = await endpoint(() => undefined);
    const { ingress, http } = await lab([up.port], { config: { timeouts: { grace: 0 } } });
    const busy = client(http).send(get());
    while (up.seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const drained = ingress.drain({ withinMs: 3_600_000, idleMs: 3_600_000 });
    await ingress.drain({ withinMs: 1 });
    await drained;
    await busy.untilEnd();
  });

  test("nothing is accepted before the listeners may open", async () => {
    const up = await endpoint(ok);
    const gate = Promise.withResolvers<void>();
    const ingress = startIngressServer({ http: [{ ip: "127.0.0.1", port: 0 }], https: [], transport }, { listenAfter: gate.promise });
    closeLater(ingress);
    ingress.apply(makeTable([up.port]));
    let ready = false;
    void ingress.ready.then(() => (ready = true));
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    expect([ready, ingress.addresses.http]).toEqual([false, []]);
    gate.resolve();
    await ingress.ready;
    expect(
      await client(ingress.addresses.http[0]?.port ?? 0)
        .send(get())
        .until((t) => t.endsWith("ok")),
    ).toMatch(/^HTTP\/1\.1 200/);
  });
});
