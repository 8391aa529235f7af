import { connect, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { HeldBytes, type Holder } from "../../../ingress/proxy/held-bytes.ts";
import { thrift } from "../../../ingress/upstream/thrift.ts";
import { FrameClient, frame, http2Preface, requestFields, frameType as T } from "./http2-frames.ts";
import { fastClock, get, RawClient, startLab } from "./proxy-lab.ts";

const open: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

test("at the bound, who has not moved for longest is let go; who moves is the youngest; what is let go counts no more", () => {
  const held = new HeldBytes(100);
  const gone: string[] = [];
  const holder = (name: string): Holder => ({ letGo: () => void gone.push(name) });
  const [a, b, c, stubborn] = [holder("a"), holder("b"), holder("c"), holder("stubborn")];
  held.set(a, 25);
  expect(thrift.isOn).toBe(false);
  held.set(b, 40);
  expect(thrift.isOn).toBe(true);
  held.set(a, 30);
  held.set(c, 40);
  expect([gone, held.bytes, held.letGo]).toEqual([["b"], 70, 1]);
  held.set(c, 0);
  // one that is more than all may be goes as well
  held.set(stubborn, 101);
  expect([gone, held.bytes, held.letGo]).toEqual([["b", "a", "stubborn"], 0, 3]);
  expect(thrift.isOn).toBe(false);
});

test("a bound that is lowered counts for what is held already", () => {
  const held = new HeldBytes(100);
  const gone: string[] = [];
  for (const name of ["a", "b"]) held.set({ letGo: () => void gone.push(name) }, 20);
  expect(thrift.isOn).toBe(true);
  held.limit(200);
  expect([thrift.isOn, gone]).toEqual([false, []]);
  held.limit(30);
  expect([gone, held.bytes]).toEqual([["a"], 20]);
  held.limit(10);
  expect([gone, held.bytes, thrift.isOn]).toEqual([["a", "b"], 0, false]);
});

test("who gives up only a part stays with the rest, as young as it was made by that", () => {
  const held = new HeldBytes(100);
  const part: Holder = { letGo: () => held.set(part, 10) };
  let gone = 0;
  const whole: Holder = { letGo: () => void gone++ };
  held.set(part, 60);
  held.set(whole, 50);
  expect([held.bytes, gone]).toEqual([60, 0]);
  held.set(part, 60);
  expect([held.bytes, gone]).toEqual([60, 1]);
});

const bound = 2 * 1024 * 1024;
const slow = 120;
const large = Buffer.alloc(64 * 1024, "x");
type Answer = (socket: Socket) => void;
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const more: Answer = (socket) => {
  const fill = (): void => {
    while (!socket.destroyed && socket.write(large));
  };
  socket.on("drain", fill);
  fill();
};
/** A body without an end, as fast as it is read. */
const endless: Answer = (socket) => {
  socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
  more(socket);
};
const whole: Answer = (socket) => {
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${large.length}\r\n\r\n`);
  socket.write(large);
};
const tunnel: Answer = (socket) => {
  socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
  more(socket);
};
/** Reads no more, and says nothing. */
const deaf: Answer = (socket) => void socket.pause();

/** An endpoint that answers GET /small at once, and all else so. */
async function endpoint(answer: Answer): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => {
      if (bytes.toString("latin1", 0, 10) === "GET /small") socket.write(ok);
      else answer(socket);
    });
  });
  open.push(async () => {
    for (const s of sockets) s.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", 1000, resolve));
  const at = server.address();
  return typeof at === "object" && at !== null ? at.port : 0;
}

interface Attack {
  readonly name: string;
  readonly answer: Answer;
  /** Begins; what it gives settles once one of the slow ones has heard that it was given up. */
  readonly begin: (port: number) => () => Promise<unknown>;
}

/** Connections of HTTP/1 that say this, and read nothing until they are to hear what has become of them. */
const silent =
  (text: string | Buffer): Attack["begin"] =>
  (port) => {
    const all = Array.from({ length: slow }, () => {
      const socket = connect(port, "127.0.0.1");
      socket.pause();
      socket.on("error", () => undefined);
      socket.write(text);
      open.push(() => void socket.destroy());
      return socket;
    });
    return () =>
      Promise.race(
        all.map((socket) => {
          const closed = new Promise((resolve) => socket.once("close", resolve));
          socket.resume();
          return closed;
        }),
      );
  };

/** All streams of a few connections, with no window to answer into. */
const streams: Attack["begin"] = (port) => {
  const clients = [0, 1].map(() => {
    const c = new FrameClient(port);
    open.push(() => void c.socket.destroy());
    const noWindow = frame(T.settings, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0]));
    return c.send(http2Preface, noWindow, ...Array.from({ length: slow / 2 }, (_, i) => frame(T.headers, 5, 2 * i + 1, requestFields())));
  });
  return () => Promise.race(clients.map((c) => c.until((f) => f.type === T.reset)));
};

const attacks: readonly Attack[] = [
  { name: "streams without a window", answer: endless, begin: streams },
  { name: "streams without a window, of answers that are complete", answer: whole, begin: streams },
  { name: "slow readers of HTTP/1", answer: endless, begin: silent(get()) },
  {
    name: "bodies that their endpoint does not read",
    answer: deaf,
    begin: silent(Buffer.concat([Buffer.from(get("/", `Content-Length: ${16 << 20}\r\n`).replace("GET", "POST")), Buffer.alloc(16 << 20)])),
  },
  { name: "heads without an end", answer: deaf, begin: silent(get("/", `${`X: ${"x".repeat(8_000)}\r\n`.repeat(7)}`).slice(0, -4)) },
  {
    name: "requests behind one that is not answered",
    answer: deaf,
    begin: silent(get() + get("/", `X: ${"x".repeat(8_000)}\r\n`).repeat(7)),
  },
  { name: "tunnels that are not read", answer: tunnel, begin: silent(get("/", "Connection: upgrade\r\nUpgrade: x\r\n")) },
];

/** A sample of its metrics. */
function sample(metrics: string, name: string): number {
  return Number(new RegExp(`^${name} (.*)$`, "m").exec(metrics)?.[1]);
}

describe.for(["auto", "portable"] as const)("over the transport %s", (transport) => {
  test.for(attacks)(
    "$name: no more is held than the bound, who waited longest is given up, others notice nothing",
    {
      timeout: 60_000,
    },
    async ({ answer, begin }) => {
      const port = await endpoint(answer);
      const { ingress, http } = await startLab([port], { config: { transport, heldBytes: bound } });
      open.push(() => ingress.close());
      const bystander = RawClient.connect(http);
      open.push(() => void bystander.socket.destroy());
      const told = begin(http);
      let most = 0;
      do {
        bystander.text = "";
        expect(await bystander.send(get("/small")).until((t) => t.endsWith("ok"))).toMatch(/^HTTP\/1\.1 200/);
        most = Math.max(most, sample(ingress.metrics(), "fairway_ingress_held_bytes"));
        await new Promise((resolve) => setImmediate(resolve));
      } while (sample(ingress.metrics(), "fairway_ingress_held_let_go_total") === 0);
      await told();
      expect(most).toBeLessThanOrEqual(bound);
      expect(most).toBeGreaterThan(bound / 2);
    },
  );
});

test("a complete answer that a stream's client stops taking is given up in time", async () => {
  const port = await endpoint(whole);
  const { ingress, http } = await startLab([port], { clock: fastClock(50), config: { timeouts: { body: 20_000 } } });
  open.push(() => ingress.close());
  const c = new FrameClient(http);
  open.push(() => void c.socket.destroy());
  const window = frame(T.settings, 0, 0, Buffer.from([0, 4, 0, 0, 0x3f, 0xff]));
  c.send(http2Preface, window, frame(T.headers, 5, 1, requestFields()));
  expect(await c.until((f) => f.type === T.reset)).toMatchObject({ stream: 1, payload: Buffer.from([0, 0, 0, 2]) });
  expect(sample(ingress.metrics(), "fairway_ingress_held_let_go_total")).toBe(0);
});
