// A gRPC server of one bidirectional call, /talk.Talk/Say: each message comes back, and the call ends well when the caller has ended.
import { createServer, type ServerHttp2Stream } from "node:http2";

const server = createServer();
server.on("stream", (stream: ServerHttp2Stream, headers) => {
  stream.on("error", () => undefined);
  const known = headers[":path"] === "/talk.Talk/Say";
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": known ? "0" : "12" }));
  if (known) stream.pipe(stream);
  else stream.end();
});
server.listen(8080);
