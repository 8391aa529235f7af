import { describe, expect, test } from "vitest";
import { fastClock, get, makeForward, makeRoute, ok, proxyScene } from "./proxy-lab.ts";

describe.for(["auto", "portable"] as const)("over the transport %s", (transport) => {
  const { endpoint, lab, client } = proxyScene(transport);
  const bodyOf = (text: string): string => text.slice(text.indexOf("\r\n\r\n") + 4);

  test("a head is found wherever it is cut in two, behind a forgiven empty line too", async () => {
    const up = await endpoint(ok);
    const { http } = await lab([up.port]);
    const head = `\r\n${get()}`;
    for (let cut = 1; cut < head.length; cut++) {
      const c = client(http);
      c.socket.setNoDelay();
      c.send(head.slice(0, cut));
      // several turns: the first piece is read before the second is sent
      for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
      expect(await c.send(head.slice(cut)).until((t) => t.endsWith("ok")), `cut at ${cut}`).toContain("HTTP/1.1 200 OK");
      c.socket.destroy();
    }
  });

  test("forwards with its own headers, strips those of one hop and forged ones", async () => {
    const up = await endpoint((r) =>
      r.socket.write(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\nConnection: x-inner\r\nX-Inner: 1\r\nX-Kept: 2\r\n\r\nok",
      ),
    );
    const { http } = await lab([up.port]);
    const c = client(http).send(
      get(
        "/x?y=1",
        "Connection: keep-alive, X-Secret\r\nX-Secret: 1\r\nX-Forwarded-For: 6.6.6.6\r\nProxy: evil\r\nX-Plain: 3\r\nTE: trailers\r\n",
      ),
    );
    const text = await c.until((t) => t.endsWith("ok"));
    expect(text).not.toMatch(/keep-alive|x-inner/i);
    expect(text).toContain("X-Kept: 2\r\n");
    const head = up.seen[0]?.head ?? "";
    expect(head).toMatch(/^GET \/x\?y=1 HTTP\/1\.1\r\nHost: a\.test\r\n/);
    expect(head).toContain("X-Plain: 3");
    expect(head).toMatch(/X-Forwarded-For: 127\.0\.0\.1\r\n/);
    expect(head).toContain("X-Forwarded-Proto: http");
    expect(head).not.toMatch(/6\.6\.6\.6|X-Secret|Proxy:|TE:|Connection:/i);
  });

  test("believes a trusted proxy in front", async () => {
    const up = await endpoint(ok);
    const { http } = await lab([up.port], { config: { trustedProxies: ["127.0.0.0/8", "10.0.0.0/8"] } });
    await client(http)
      .send(get("/", "X-Forwarded-For: 1.1.1.1, 198.51.100.7, 10.0.0.9\r\nX-Forwarded-Proto: https\r\n"))
      .until((t) => t.endsWith("ok"));
    expect(up.seen[0]?.head).toMatch(/X-Forwarded-For: 198\.51\.100\.7\r\n/);
    expect(up.seen[0]?.head).toContain("X-Forwarded-Proto: https");
  });

  test("keeps both connections for the next request", async () => {
    const up = await endpoint(ok);
    const { http } = await lab([up.port]);
    const c = client(http);
    for (let i = 1; i <= 3; i++) await c.send(get()).until((t) => t.split("200 OK").length === i + 1 && t.endsWith("ok"));
    expect(up.accepted).toBe(1);
    expect(up.seen.map((s) => s.nth)).toEqual([1, 2, 3]);
  });

  test("answers pipelined requests in their order", async () => {
    const up = await endpoint((r) => {
      const path = r.head.split(" ")[1] ?? "";
      r.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`);
    });
    const { http } = await lab([up.port]);
    const text = await client(http)
      .send(`${get("/one")}${get("/two")}POST /three HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc${get("/four")}`)
      .until((t) => t.includes("/four"));
    expect(text.match(/\/(one|two|three|four)/g)).toEqual(["/one", "/two", "/three", "/four"]);
    expect(up.seen[2]?.body).toBe("abc");
  });

  test.for<[name: string, response: string, method: string, want: RegExp]>([
    ["length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "GET", /Content-Length: 3\r\n\r\nabc$/],
    [
      "chunked",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
      "GET",
      /Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n$/,
    ],
    [
      "trailers",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n",
      "GET",
      /1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n$/,
    ],
    ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD", /Content-Length: 3\r\n\r\n$/],
    ["HEAD chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", /200 OK\r\n\r\n$/],
    ["204", "HTTP/1.1 204 No Content\r\n\r\n", "GET", /204 No Content\r\n\r\n$/],
    [
      "304 with a length",
      "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
      "GET",
      /304 Not Modified\r\nContent-Length: 9\r\n\r\n$/,
    ],
    [
      "early hints",
      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
      "GET",
      /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a>\r\n\r\nHTTP\/1\.1 200 OK\r\nContent-Length: 0\r\n\r\n$/,
    ],
  ])("a response with %s ends where it says, and the connection goes on", async ([, response, method, want]) => {
    let first = true;
    const up = await endpoint((r) => {
      if (first) r.socket.write(response);
      else ok(r);
      first = false;
    });
    const { http } = await lab([up.port]);
    const c = client(http).send(`${method} / HTTP/1.1\r\nHost: a.test\r\n\r\n`);
    expect(await c.until((t) => want.test(t))).toMatch(want);
    c.text = "";
    expect(await c.send(get()).until((t) => t.endsWith("ok"))).toMatch(/ok$/);
    expect(up.accepted).toBe(1);
  });

  test("a body that ends with the connection becomes chunks", async () => {
    const up = await endpoint((r) => r.socket.end("HTTP/1.1 200 OK\r\n\r\nto the end"));
    const { http } = await lab([up.port]);
    const text = await client(http)
      .send(get())
      .until((t) => t.endsWith("0\r\n\r\n"));
    expect(text).toContain("a\r\nto the end\r\n0\r\n\r\n");
  });

  test("a body for an HTTP/1.0 client ends with the connection", async () => {
    const up = await endpoint((r) => r.socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"));
    const { http } = await lab([up.port]);
    const text = await client(http).send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n").untilEnd();
    expect(text).toMatch(/Connection: close\r\n\r\nok$/);
  });

  test("who said that it was its last request is not waited for", async () => {
    const up = await endpoint(ok);
    const { ingress, http } = await lab([up.port], { config: { timeouts: { linger: 1e9, body: 1e9 } } });
    const c = client(http).send(get("/", "Connection: close\r\n"));
    expect(await c.untilEnd()).toMatch(/Connection: close\r\n\r\nok$/);
    // its own side stays open: only this proxy can have closed the connection
    while (!ingress.metrics().includes('_connections{state="active"} 0')) await new Promise((resolve) => setImmediate(resolve));
    expect(c.closed).toBe(false);
  });

  test("who said so and goes on is answered once, and read on: a reset would take its answer away", async () => {
    const up = await endpoint(ok);
    const { ingress, http } = await lab([up.port], { config: { timeouts: { linger: 1e9, body: 1e9 } } });
    const c = client(http).send(get("/", "Connection: close\r\n") + get("/"));
    expect(await c.untilEnd()).toMatch(/Connection: close\r\n\r\nok$/);
    expect(ingress.metrics()).toContain('_connections{state="active"} 1');
    expect(up.seen).toHaveLength(1);
  });

  test("request bodies go up as they are framed: length and chunks", async () => {
    const up = await endpoint(ok);
    const { http } = await lab([up.port]);
    const c = client(http);
    await c.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello").until((t) => t.endsWith("ok"));
    c.text = "";
    await c
      .send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nX-T: 1\r\nContent-Length: 3\r\n\r\n",
      )
      .until((t) => t.endsWith("ok"));
    // chunks that came together go on as one
    expect(up.seen.map((s) => s.body)).toEqual(["hello", "5\r\nhello\r\n"]);
    expect(up.seen[1]?.trailers).toBe("X-T: 1\r\n");
  });

  test("Expect: 100-continue is answered once there is an endpoint", async () => {
    const up = await endpoint(ok);
    const { http } = await lab([up.port]);
    const c = client(http).send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    expect(await c.until((t) => t.includes("\r\n\r\n"))).toBe("HTTP/1.1 100 Continue\r\n\r\n");
    await c.send("hi").until((t) => t.endsWith("ok"));
    expect(up.seen[0]?.head).not.toMatch(/expect/i);
  });

  test("an endpoint that cannot be reached is passed over, for a POST too", async () => {
    const dead = await endpoint(ok);
    await dead.close();
    const up = await endpoint(ok);
    const { http } = await lab([dead.port, up.port]);
    const text = await client(http)
      .send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi")
      .until((t) => t.endsWith("ok"));
    expect(text).toMatch(/^HTTP\/1\.1 200/);
    expect(up.seen[0]?.body).toBe("hi");
  });

  test("a request that may be repeated goes to another endpoint when the first hangs up; a POST does not", async () => {
    const bad = await endpoint((r) => r.socket.destroy());
    const up = await endpoint(ok);
    const { http } = await lab([bad.port, up.port]);
    expect(
      await client(http)
        .send(get())
        .until((t) => t.endsWith("ok")),
    ).toMatch(/^HTTP\/1\.1 200/);
    await new Promise((resolve) => setImmediate(resolve));
    const only = await lab([bad.port]);
    expect(
      await client(only.http)
        .send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi")
        .until((t) => t.includes("</html>")),
    ).toMatch(/^HTTP\/1\.1 502/);
  });

  test("a pooled connection that had died is replaced", async () => {
    const up = await endpoint((r) => {
      if (r.nth === 1) ok(r);
      else r.socket.destroy(); // the second request on a connection meets a closed door
    });
    const { http } = await lab([up.port]);
    const c = client(http);
    for (let i = 1; i <= 3; i++) await c.send(get()).until((t) => t.split("200 OK").length === i + 1 && t.endsWith("ok"));
    expect(up.accepted).toBe(3);
  });

  test.for<[name: string, response: string]>([
    ["no HTTP", "SSH-2.0-OpenSSH\r\n\r\n"],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
    ["length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"],
    ["a folded header", "HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n"],
    ["no end of hints", `${"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(20)}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`],
    ["an uninvited switch", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"],
  ])("nonsense from the endpoint (%s) is 502", async ([, response]) => {
    const up = await endpoint((r) => r.socket.write(response));
    const { http } = await lab([up.port]);
    expect(
      await client(http)
        .send(get())
        .until((t) => t.includes("</html>")),
    ).toMatch(/(^|\r\n\r\n)HTTP\/1\.1 502 Bad Gateway/);
  });

  test("bytes after a response close the pooled connection, and reach nobody", async () => {
    const up = await endpoint((r) =>
      r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"),
    );
    const { http } = await lab([up.port]);
    const c = client(http);
    await c.send(get()).until((t) => t.endsWith("ok"));
    await c.send(get()).until((t) => t.split("200 OK").length === 3);
    expect(c.text).not.toContain("poison");
    expect(up.accepted).toBe(2);
  });

  test("an endpoint that said what nobody asked for gets a connection for each request", async () => {
    const up = await endpoint((r) => r.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok${up.seen.length === 3 ? "!" : ""}`));
    const { http } = await lab([up.port]);
    const c = client(http);
    for (let i = 1; i <= 6; i++) await c.send(get()).until((t) => t.split("200 OK").length === i + 1 && t.endsWith("ok"));
    // one for three requests, then one each
    expect(up.seen.map((r) => r.nth)).toEqual([1, 2, 3, 1, 1, 1]);
  });

  test("a response cut short cuts the client's connection", async () => {
    const up = await endpoint((r) => r.socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"));
    const { http } = await lab([up.port]);
    const c = client(http).send(get());
    await c.until(() => false);
    expect(bodyOf(c.text)).toBe("half");
    expect(c.closed).toBe(true);
  });

  test("an answer before the end of the question closes both", async () => {
    const up = await endpoint(() => undefined);
    const { http } = await lab([up.port]);
    const c = client(http).send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\nbegin");
    while (up.sockets.size === 0) await new Promise((resolve) => setImmediate(resolve));
    const [socket] = up.sockets;
    socket?.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    const text = await c.untilEnd();
    expect(text).toMatch(/^HTTP\/1\.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno$/);
  });

  test("no endpoint is 503, no route 404, a hung one 504", async () => {
    const up = await endpoint(() => undefined);
    const { http } = await lab([up.port], {
      clock: fastClock(20),
      routes: [
        makeRoute({ action: makeForward({ timeouts: { connectSeconds: 100, sendSeconds: 2, readSeconds: 2 }, tries: 1 }) }),
        makeRoute({
          id: "empty",
          path: { kind: "prefix", path: "/empty" },
          action: makeForward({ backends: [{ pool: "none", weight: 1 }] }),
        }),
      ],
    });
    expect(
      await client(http)
        .send(get("/empty"))
        .until((t) => t.includes("</html>")),
    ).toMatch(/^HTTP\/1\.1 503/);
    expect(
      await client(http)
        .send("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n")
        .until((t) => t.includes("</html>")),
    ).toMatch(/^HTTP\/1\.1 404/);
    expect(
      await client(http)
        .send(get())
        .until((t) => t.includes("</html>")),
    ).toMatch(/^HTTP\/1\.1 504/);
  });

  test("WebSocket: a tunnel after 101, each side ends by itself", async () => {
    const up = await endpoint((r) => {
      r.socket.removeAllListeners("data");
      r.socket.removeAllListeners("end");
      r.socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nhello",
      );
      r.socket.on("data", (b) => r.socket.write(`<${b.toString()}>`));
      r.socket.on("end", () => r.socket.end("bye"));
    });
    const { http } = await lab([up.port]);
    const c = client(http).send(get("/ws", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n"));
    const head = await c.until((t) => t.includes("hello"));
    expect(head).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/);
    expect(head).toContain("Sec-WebSocket-Accept: x\r\n");
    expect(up.seen[0]?.head).toMatch(/Connection: Upgrade\r\nUpgrade: websocket/);
    await c.send("ping").until((t) => t.endsWith("<ping>"));
    c.socket.end();
    expect(await c.untilEnd()).toMatch(/<ping>bye$/);
  });

  test("a tunnel counts against a connection limit until it is closed, and is cut when the drain ends", async () => {
    const up = await endpoint((r) => {
      r.socket.removeAllListeners("data");
      r.socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
    });
    const { ingress, http } = await lab([up.port], {
      routes: [makeRoute({ filters: [{ kind: "connectionLimit", bucket: "b", limit: 1, status: 503 }] })],
      config: { timeouts: { grace: 0 } },
    });
    const switching = get("/", "Connection: Upgrade\r\nUpgrade: x\r\n");
    const first = client(http).send(switching);
    await first.until((t) => t.includes("101"));
    const second = client(http).send(switching);
    expect(await second.until((t) => t.includes("</html>"))).toMatch(/^HTTP\/1\.1 503/);
    first.socket.end();
    await first.untilEnd();
    first.socket.destroy();
    let third = client(http).send(switching);
    while (!(await third.until((t) => t.includes("\r\n\r\n"))).includes("101")) third = client(http).send(switching);
    await ingress.drain({ withinMs: 40 });
    await third.untilEnd();
    const counted = 'requests{host="a.test",method="GET",status="101",namespace="shop",ingress="web",service="web",path="/",canary=""} 2\n';
    while (!ingress.metrics().includes(counted)) await new Promise((resolve) => setImmediate(resolve));
  });

  test("large bodies flow both ways through slow readers", async () => {
    const size = 8 * 1024 * 1024;
    let got = 0;
    const up = await endpoint(() => undefined);
    const { http } = await lab([up.port]);
    const c = client(http);
    c.socket.pause();
    c.send(`POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${size}\r\n\r\n`);
    while (up.sockets.size === 0) await new Promise((resolve) => setImmediate(resolve));
    const [socket] = up.sockets;
    if (socket === undefined) throw new Error("no connection");
    socket.removeAllListeners("data");
    socket.pause();
    c.socket.write(Buffer.alloc(size, "u"));
    const received = new Promise<void>((resolve) => {
      socket.on("data", (b) => {
        got += b.length;
        if (got > size) resolve();
      });
    });
    socket.resume();
    await received;
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
    socket.write(Buffer.alloc(size, "d"));
    let down = 0;
    c.socket.removeAllListeners("data");
    const all = new Promise<void>((resolve) => {
      c.socket.on("data", (b: Buffer) => {
        down += b.length;
        if (down >= size) resolve();
      });
    });
    c.socket.resume();
    await all;
    expect(down).toBeGreaterThanOrEqual(size);
  });
});
