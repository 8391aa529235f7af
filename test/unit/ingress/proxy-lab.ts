import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach } from "vitest";
import {
  type ConnectionFactory,
  type IngressServer,
  type IngressServerConfig,
  type Route,
  type RouteDelta,
  startIngressServer,
} from "../../../ingress/index.ts";
import type { ProxiedEnds } from "../../../ingress/proxy/proxy-protocol.ts";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { ipBytes } from "../../../src/base/ip.ts";

/** One request as an endpoint saw it, and the means to answer it byte by byte. */
export interface SeenRequest {
  readonly head: string;
  readonly body: string;
  readonly trailers: string;
  readonly socket: Socket;
  /** How many requests this connection has carried, this one included. */
  readonly nth: number;
}

export type Answer = (request: SeenRequest) => void;

/** An endpoint that speaks raw bytes: each request head with its length-counted or chunked body is one call. */
export class RawEndpoint {
  readonly #server: Server;
  readonly sockets = new Set<Socket>();
  readonly seen: SeenRequest[] = [];
  accepted = 0;
  port = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(answer: Answer, port = 0): Promise<RawEndpoint> {
    const server = createServer({ allowHalfOpen: true });
    const endpoint = new RawEndpoint(server);
    server.on("connection", (socket) => endpoint.#serve(socket, answer));
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("the endpoint does not listen");
    endpoint.port = address.port;
    return endpoint;
  }

  #serve(socket: Socket, answer: Answer): void {
    this.accepted++;
    this.sockets.add(socket);
    socket.on("close", () => this.sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.on("end", () => socket.end());
    let text = "";
    let nth = 0;
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      for (;;) {
        const end = text.indexOf("\r\n\r\n");
        if (end < 0) return;
        const head = text.slice(0, end);
        const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
        const chunked = /^transfer-encoding: chunked/im.test(head);
        const last = chunked ? /(?<=\n)0\r\n((?:[^\r\n]+\r\n)*)\r\n/.exec(text.slice(end + 2)) : null;
        const close = chunked ? (last === null ? -1 : end + 2 + last.index) : end + 4 + length;
        if (close < 0 || text.length < close) return;
        const body = text.slice(end + 4, close);
        text = text.slice(close + (last?.[0].length ?? 0));
        const request = { head, body, trailers: last?.[1] ?? "", socket, nth: ++nth };
        this.seen.push(request);
        answer(request);
      }
    });
  }

  /** Stops listening and cuts what is open. */
  async close(): Promise<void> {
    for (const s of this.sockets) s.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** A plain text client of one connection. */
export class RawClient {
  readonly socket: Socket;
  text = "";
  ended = false;
  closed = false;
  readonly #waiting = new Set<() => void>();

  constructor(socket: Socket) {
    this.socket = socket;
    const wake = (): void => {
      for (const w of [...this.#waiting]) w();
    };
    socket.on("data", (b: Buffer) => {
      this.text += b.toString("latin1");
      wake();
    });
    socket.on("end", () => {
      this.ended = true;
      wake();
    });
    socket.on("error", () => wake());
    socket.on("close", () => {
      this.closed = true;
      wake();
    });
  }

  static connect(port: number): RawClient {
    return new RawClient(connect({ port, host: "127.0.0.1", allowHalfOpen: true }));
  }

  send(text: string): this {
    this.socket.write(text, "latin1");
    return this;
  }

  /** Until what came satisfies `test`, or the connection is gone; gives all that came. */
  until(test: (text: string) => boolean): Promise<string> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!test(this.text) && !this.closed) return;
        this.#waiting.delete(look);
        resolve(this.text);
      };
      this.#waiting.add(look);
      look();
    });
  }

  untilEnd(): Promise<string> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!this.ended && !this.closed) return;
        this.#waiting.delete(look);
        resolve(this.text);
      };
      this.#waiting.add(look);
      look();
    });
  }
}

/** A route of host `a.test`, all paths, to the pool `p`. */
export function makeRoute(change: Partial<Route> = {}): Route {
  return {
    id: "r",
    object: { kind: "Ingress", namespace: "shop", name: "web" },
    rule: "a.test/",
    host: { kind: "exact", name: "a.test" },
    path: { kind: "prefix", path: "/" },
    created: "",
    filters: [],
    action: makeForward(),
    ...change,
  };
}

export function makeForward(change: Partial<Extract<Route["action"], { kind: "forward" }>> = {}): Route["action"] {
  return {
    kind: "forward",
    backends: [{ pool: "p", weight: 1 }],
    overrides: [],
    protocol: "http",
    timeouts: { connectSeconds: 5, sendSeconds: 60, readSeconds: 60 },
    tries: 3,
    balance: "round_robin",
    ...change,
  };
}

/** A clock that runs `speed` times as fast as the world's: time-outs of seconds pass in milliseconds. */
export function fastClock(speed: number): Clock {
  return {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic() * speed,
    sleep: (ms, signal) => systemClock.sleep(ms / speed, signal),
  };
}

/** An ingress on a free port, with one pool of these endpoint ports. */
export async function startLab(
  ports: readonly number[],
  o: {
    readonly routes?: readonly Route[];
    readonly config?: Partial<IngressServerConfig>;
    readonly random?: () => number;
    readonly log?: (message: string) => void;
    readonly clock?: Clock;
    readonly connections?: ConnectionFactory;
  } = {},
): Promise<{ ingress: IngressServer; http: number; https: number }> {
  const here = { ip: "127.0.0.1", port: 0 };
  const ingress = startIngressServer(
    { http: [here], https: [], ...o.config },
    {
      random: o.random ?? (() => 0),
      ...(o.log === undefined ? {} : { log: o.log }),
      ...(o.clock === undefined ? {} : { clock: o.clock }),
      ...(o.connections === undefined ? {} : { connections: o.connections }),
    },
  );
  await ingress.ready;
  ingress.apply(makeTable(ports, o.routes));
  return { ingress, http: ingress.addresses.http[0]?.port ?? 0, https: ingress.addresses.https[0]?.port ?? 0 };
}

/** A whole table: these routes, and the pool `p` of these endpoint ports. */
export function makeTable(ports: readonly number[], routes: readonly Route[] = [makeRoute()]): RouteDelta {
  return {
    revision: 1,
    full: true,
    routes: { upserts: routes, deletes: [] },
    pools: { upserts: [poolOf(ports)], deletes: [] },
    certificates: { upserts: [], deletes: [] },
  };
}

export function poolOf(ports: readonly number[], id = "p") {
  return { id, service: "shop/web", port: 80, endpoints: ports.map((port) => ({ ip: "127.0.0.1", port })) };
}

/** A header of the PROXY protocol, version 2, as load balancers send it. */
export function printProxyHeader2({ source, destination }: ProxiedEnds): Buffer {
  const [a, b] = [ipBytes(source.ip), ipBytes(destination.ip)];
  const ports = [source.port, destination.port].flatMap((p) => [p >> 8, p & 255]);
  const body = Buffer.from([...a, ...b, ...ports]);
  const head = Buffer.from([0x21, a.length === 4 ? 0x11 : 0x21, body.length >> 8, body.length & 255]);
  return Buffer.concat([Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1"), head, body]);
}

export const get = (path = "/", more = ""): string => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${more}\r\n`;

/** Endpoints, an ingress on a transport, and its clients; a test's are closed after it, the last one first. */
export function proxyScene(transport: "auto" | "portable"): {
  readonly endpoint: (answer: Answer, port?: number) => Promise<RawEndpoint>;
  readonly lab: typeof startLab;
  readonly client: (port: number) => RawClient;
  readonly closeLater: (one: { close(): Promise<void> }) => void;
} {
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const one of open.splice(0).reverse()) await one.close();
  });
  return {
    endpoint: async (answer, port) => {
      const e = await RawEndpoint.start(answer, port);
      open.push(e);
      return e;
    },
    lab: async (ports, o) => {
      const l = await startLab(ports, { ...o, config: { transport, ...o?.config } });
      open.push(l.ingress);
      return l;
    },
    client: (port) => {
      const c = RawClient.connect(port);
      open.push({ close: async () => void c.socket.destroy() });
      return c;
    },
    closeLater: (one) => void open.push(one),
  };
}

/** Two bytes of an answer, whatever was asked. */
export const ok: Answer = (r) => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
