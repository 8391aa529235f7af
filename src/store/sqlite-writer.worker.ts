import { parentPort } from "node:worker_threads";
import { codeOf, SqliteLog } from "./sqlite-log.ts";
import { blocksOf, type PackedRows, unpackRows, type WriterCalls, type WriterReply, type WriterRequest } from "./sqlite-messages.ts";

const port = parentPort;
let log: SqliteLog | undefined;

function answer(request: WriterRequest): unknown {
  if (request.op === "open") {
    const { file, maxBytes } = request.ask as WriterCalls["open"]["ask"];
    log = new SqliteLog(file, maxBytes);
    return log.open();
  }
  if (log === undefined) throw new Error("not open");
  switch (request.op) {
    case "write":
      log.write(unpackRows(request.ask as WriterCalls["write"]["ask"]));
      return null;
    case "get":
      return log.get((request.ask as WriterCalls["get"]["ask"]).key);
    case "list":
      return log.list(request.ask as WriterCalls["list"]["ask"]);
    case "history":
      return log.history(request.ask as WriterCalls["history"]["ask"]);
    case "compact":
      log.compact((request.ask as WriterCalls["compact"]["ask"]).before);
      return null;
    case "checkpoint":
      log.checkpoint();
      return null;
    case "close":
      log.close();
      log = undefined;
      return null;
  }
}

port?.on("message", (request: WriterRequest) => {
  let reply: WriterReply;
  let moved: ArrayBuffer[] = [];
  try {
    const given = answer(request);
    if (request.op === "list") moved = blocksOf(given as PackedRows);
    reply = { id: request.id, ok: true, answer: given };
  } catch (error) {
    reply = { id: request.id, ok: false, code: codeOf(error), message: error instanceof Error ? error.message : String(error) };
  }
  port.postMessage(reply, moved);
});
