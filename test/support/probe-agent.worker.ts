// A thread in a network namespace of a kernel test: serves, probes on request. A message each way for each request.
import dgram from "node:dgram";
import net from "node:net";
import { parentPort, workerData } from "node:worker_threads";
import { enterNetns } from "./in-netns.ts";

interface Request {
  readonly id: number;
  readonly do: "serve" | "probe" | "hold" | "say" | "release" | "stream" | "end-stream";
  readonly kind?: "held" | "fresh";
  readonly stream?: number;
  readonly protocol?: "tcp" | "udp";
  readonly host?: string;
  readonly port?: number;
  readonly name?: string;
  readonly localAddress?: string;
  readonly timeoutMs?: number;
  readonly everyMs?: number;
  readonly count?: number;
  readonly hold?: number;
}

const held = new Map<number, net.Socket>();
const heldUdp = new Map<number, dgram.Socket>();
const answer = (id: number, value: unknown): void => parentPort?.postMessage({ id, value });

/**
 * Answers `name peer-address`, to each TCP connection at once and to each line it sends; to each UDP packet. Without a name,
 * TCP tells the address that was asked.
 */
async function serve(r: Request): Promise<string> {
  const { name = "", host = "::", port = 0 } = r;
  const tell = (peer = "", asked = ""): string => `${name || asked} ${peer}\n`.replaceAll("::ffff:", "");
  const tcp = net.createServer((s) => {
    s.on("error", () => s.destroy());
    s.write(tell(s.remoteAddress, s.localAddress));
    s.on("data", () => s.write(tell(s.remoteAddress, s.localAddress)));
  });
  const udp = dgram.createSocket({ type: host.includes(":") ? "udp6" : "udp4" });
  udp.on("message", (_, from) => udp.send(tell(from.address), from.port, from.address));
  await new Promise<void>((resolve) => udp.bind(port, host, resolve));
  await new Promise<void>((resolve) => tcp.listen(port, host, resolve));
  return "serving";
}

function connect(r: Request): Promise<{ readonly said: string; readonly socket?: net.Socket }> {
  return new Promise((resolve) => {
    const socket = net.connect({
      host: r.host ?? "",
      port: r.port ?? 0,
      ...(r.localAddress === undefined ? {} : { localAddress: r.localAddress }),
    });
    const end = (said: string): void => {
      clearTimeout(timer);
      resolve({ said, socket });
    };
    const timer = setTimeout(() => {
      socket.destroy();
      end("drop");
    }, r.timeoutMs ?? 10_000);
    socket.once("data", (b) => end(b.toString().trim()));
    socket.once("error", (e: NodeJS.ErrnoException) => {
      socket.destroy();
      end(e.code === "ECONNREFUSED" ? "reject" : e.code === "ETIMEDOUT" ? "drop" : `error ${e.code}`);
    });
  });
}

function datagram(r: Request): Promise<string> {
  return new Promise((resolve) => {
    const host = r.host ?? "";
    const socket = dgram.createSocket(host.includes(":") ? "udp6" : "udp4");
    const end = (said: string): void => {
      clearTimeout(timer);
      socket.close();
      resolve(said);
    };
    const timer = setTimeout(() => end("drop"), r.timeoutMs ?? 10_000);
    socket.on("message", (b) => end(b.toString().trim()));
    // a packet dropped in the output hook makes send() fail with EPERM
    const failed = (e: NodeJS.ErrnoException): void =>
      end(e.code === "ECONNREFUSED" ? "reject" : e.code === "EPERM" ? "eperm" : `error ${e.code}`);
    socket.on("error", failed);
    const go = (): void => {
      const connected = (error?: NodeJS.ErrnoException): void => {
        if (error === undefined) socket.send("?", (e) => (e === null ? undefined : failed(e)));
        else failed(error);
      };
      socket.connect(r.port ?? 0, host, connected);
    };
    if (r.localAddress === undefined) go();
    else socket.bind(0, r.localAddress, go);
  });
}

async function probe(r: Request): Promise<readonly string[]> {
  const said: string[] = [];
  for (let i = 0; i < (r.count ?? 1); i++) {
    if (r.protocol === "udp") said.push(await datagram(r));
    else {
      const { said: text, socket } = await connect(r);
      socket?.destroy();
      said.push(text);
    }
    if (said.at(-1) === "drop") break;
  }
  return said;
}

const streams = new Map<number, () => Promise<unknown>>();
const exchangeEveryMs = 5;
/** Long enough for a machine under any load: what is not answered by then was lost. */
const patienceMs = 10_000;

/** Asks again and again. Whoever answered first must answer always. */
function startStream(r: Request): number {
  let answers = 0;
  let slowestMs = 0;
  let endpoint: string | undefined;
  let stopped = false;
  const faults: string[] = [];
  const patient = { ...r, timeoutMs: r.timeoutMs ?? patienceMs };
  const held = r.kind === "held" ? holdOpen(patient) : undefined;
  const exchange = async (): Promise<string> => {
    if (held !== undefined) return (await held)();
    if (r.protocol === "udp") return datagram(patient);
    const { said, socket } = await connect(patient);
    socket?.destroy();
    return said;
  };
  const run = async (): Promise<void> => {
    while (!stopped) {
      const asked = performance.now();
      const said = await exchange();
      slowestMs = Math.max(slowestMs, performance.now() - asked);
      const [name = ""] = said.split(" ");
      endpoint ??= name;
      if (name !== endpoint || !/^[ab][12]$/.test(name)) {
        faults.push(`answer ${answers}: ${JSON.stringify(said)} and not ${endpoint}`);
        if (name === "gone" || faults.length >= 20) return;
      } else answers++;
      await new Promise((resolve) => setTimeout(resolve, r.everyMs ?? exchangeEveryMs));
    }
  };
  const done = run();
  streams.set(r.id, async () => {
    stopped = true;
    await done;
    return { answers, slowestMs, faults };
  });
  return r.id;
}

/** Opens a connection (or a UDP socket); returns how to exchange one line on it. */
async function holdOpen(r: Request): Promise<() => Promise<string>> {
  const within = (listen: (said: (text: string) => void) => void, send: () => void): Promise<string> =>
    new Promise((resolve) => {
      const timer = setTimeout(() => resolve("silent"), r.timeoutMs);
      listen((text) => {
        clearTimeout(timer);
        resolve(text.trim());
      });
      send();
    });
  if (r.protocol === "udp") {
    const socket = dgram.createSocket((r.host ?? "").includes(":") ? "udp6" : "udp4");
    let failed = "";
    socket.on("error", (e) => (failed = String(e)));
    await new Promise<void>((resolve) => socket.connect(r.port ?? 0, r.host ?? "", () => resolve()));
    return () =>
      failed === ""
        ? within(
            (said) => {
              socket.removeAllListeners("message");
              socket.once("message", (b) => said(b.toString()));
            },
            () => socket.send("?"),
          )
        : Promise.resolve(`gone ${failed}`);
  }
  const { said: first, socket } = await connect(r);
  if (socket === undefined || socket.destroyed) return () => Promise.resolve(`gone ${first}`);
  let ended = false;
  socket.on("close", () => (ended = true));
  return () =>
    ended
      ? Promise.resolve("gone closed")
      : within(
          (said) => {
            socket.removeAllListeners("data");
            socket.once("data", (b) => said(b.toString()));
          },
          () => socket.write("?"),
        );
}

// every socket of this thread is in the namespace
enterNetns((workerData as { readonly namespace: string }).namespace);
parentPort?.on("message", (r: Request) => {
  const run = async (): Promise<unknown> => {
    switch (r.do) {
      case "serve":
        return serve(r);
      case "probe":
        return probe(r);
      case "hold": {
        if (r.protocol === "udp") {
          const socket = dgram.createSocket((r.host ?? "").includes(":") ? "udp6" : "udp4");
          socket.on("error", () => undefined);
          await new Promise<void>((resolve) => socket.connect(r.port ?? 0, r.host ?? "", () => resolve()));
          heldUdp.set(r.id, socket);
          return { hold: r.id, said: "" };
        }
        const { said, socket } = await connect(r);
        if (socket !== undefined) held.set(r.id, socket);
        return { hold: r.id, said };
      }
      case "say": {
        const udp = heldUdp.get(r.hold ?? 0);
        if (udp !== undefined) {
          return new Promise((resolve) => {
            const timer = setTimeout(() => resolve("silent"), r.timeoutMs ?? 10_000);
            udp.once("message", (b) => {
              clearTimeout(timer);
              resolve(b.toString().trim());
            });
            udp.send("?");
          });
        }
        const socket = held.get(r.hold ?? 0);
        if (socket === undefined || socket.destroyed) return "gone";
        return new Promise((resolve) => {
          const timer = setTimeout(() => resolve("silent"), r.timeoutMs ?? 10_000);
          socket.once("data", (b) => {
            clearTimeout(timer);
            resolve(b.toString().trim());
          });
          socket.write("?");
        });
      }
      case "stream":
        return startStream(r);
      case "end-stream":
        return streams.get(r.stream ?? 0)?.();
      case "release":
        held.get(r.hold ?? 0)?.destroy();
        heldUdp.get(r.hold ?? 0)?.close();
        return "released";
    }
  };
  run().then(
    (value) => answer(r.id, value),
    (e: unknown) => answer(r.id, `error ${String(e)}`),
  );
});
answer(0, "ready");
