import type { WebSocket } from "ws";
import type { ExecSession } from "./pod-runtime.ts";

/**
 * The subprotocols of remote commands over a WebSocket; in each message the first byte is the channel. Those before v4 tell in words, and
 * only of a failure, how the command ended.
 */
export const streamProtocols = ["v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"] as const;

const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;
const highWater = 1024 * 1024;

/** Joins a session with a client until the command ends; then the client gets a Status with the exit code. */
export function joinStreams(session: ExecSession, socket: WebSocket, wanted: { readonly stdout: boolean; readonly stderr: boolean }): void {
  const send = (channel: number, bytes: Uint8Array): void => {
    if (socket.readyState === socket.OPEN) socket.send(Buffer.concat([Buffer.from([channel]), bytes]));
  };
  // An empty message says that the other end is there. Not in v5, which is client-go's: it reads before it has made its streams, and
  // complains of a message on one that it does not have yet.
  if (socket.protocol !== "v5.channel.k8s.io") send(channels.stdout, Buffer.alloc(0));
  for (const [stream, channel, on] of [
    [session.stdout, channels.stdout, wanted.stdout],
    [session.stderr, channels.stderr, wanted.stderr],
  ] as const) {
    stream.on("data", (bytes: Buffer) => {
      if (!on || socket.readyState !== socket.OPEN) return;
      socket.send(Buffer.concat([Buffer.from([channel]), bytes]), () => {
        if (stream.isPaused() && socket.bufferedAmount < highWater) stream.resume();
      });
      if (socket.bufferedAmount > highWater) stream.pause();
    });
    stream.on("error", () => undefined);
  }
  socket.on("message", (data: Buffer) => {
    const bytes = Buffer.isBuffer(data) ? data : Buffer.from(data);
    const rest = bytes.subarray(1);
    if (bytes[0] === channels.stdin) session.stdin.write(rest);
    else if (bytes[0] === channels.resize) applySize(session, rest.toString("utf8"));
    // v5 only: one channel is over. Earlier ones could not say that the input has ended.
    else if (bytes[0] === channels.close && rest[0] === channels.stdin) session.stdin.end();
  });
  socket.on("close", () => session.kill());
  socket.on("error", () => session.kill());
  void session.exitCode.then((code) => {
    if (socket.protocol !== "channel.k8s.io") send(channels.error, Buffer.from(JSON.stringify(exitStatus(code))));
    else if (code !== 0) send(channels.error, Buffer.from(`command terminated with non-zero exit code: exit status ${code}`));
    socket.close(1000);
  });
}

/** For logs over a WebSocket: messages are pieces of the log. */
export const logProtocol = "binary.k8s.io";

/** Sends a log to its end, or until the client has gone; no faster than the client takes it. */
export async function sendLog(socket: WebSocket, log: AsyncIterable<Uint8Array>, stop: AbortController): Promise<void> {
  socket.on("close", () => stop.abort());
  socket.on("error", () => stop.abort());
  try {
    for await (const bytes of log) await new Promise<void>((resolve) => socket.send(bytes, () => resolve()));
    socket.close(1000);
  } catch {
    socket.terminate(); // its file cannot be read any more
  }
}

/** The Status that tells how a command ended. */
export function exitStatus(code: number): object {
  if (code === 0) return { metadata: {}, status: "Success" };
  return {
    metadata: {},
    status: "Failure",
    message: `command terminated with non-zero exit code: exit status ${code}`,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(code) }] },
  };
}

function applySize(session: ExecSession, text: string): void {
  let size: unknown;
  try {
    size = JSON.parse(text);
  } catch {
    return;
  }
  const { Width, Height } = size as { readonly Width?: unknown; readonly Height?: unknown };
  const fits = (n: unknown): n is number => typeof n === "number" && Number.isInteger(n) && n > 0 && n < 65536;
  if (fits(Width) && fits(Height)) session.resize(Width, Height);
}
