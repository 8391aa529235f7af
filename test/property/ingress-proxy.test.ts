import fc from "fast-check";
import { expect, test } from "vitest";
import { runs, timeLimit } from "../support/runs.ts";
import { get, RawClient, RawEndpoint, startLab } from "../unit/ingress/proxy-lab.ts";

const scrap = fc.constantFrom(
  "GET / HTTP/1.1\r\n",
  "POST /x HTTP/1.1\r\n",
  "Host: a.test\r\n",
  "Content-Length: 5\r\n",
  "Content-Length: 0\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Connection: Upgrade\r\nUpgrade: websocket\r\n",
  "Connection: close\r\n",
  "Expect: 100-continue\r\n",
  "\r\n",
  "5\r\nhello\r\n",
  "0\r\n\r\n",
  "hello",
  "\n",
  "\r",
  "\0",
  "ffffffffffff\r\n",
  "HTTP/1.1 200 OK\r\n",
  "HTTP/1.1 103 Early\r\n\r\n",
  "HTTP/1.1 101 Switching Protocols\r\n\r\n",
  "HTTP/1.0 304 x\r\n",
);
const noise = fc.array(scrap, { maxLength: 12 }).map((parts) => parts.join(""));

test("whatever clients and endpoints say, other clients are served, and no fault of the proxy shows", {
  timeout: timeLimit(120_000),
}, async () => {
  const faults: string[] = [];
  let answer = "";
  const up = await RawEndpoint.start((r) => {
    if (r.head.includes("/well")) r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    else r.socket.end(answer, "latin1");
  });
  const { ingress, http } = await startLab([up.port], { log: (m) => faults.push(m) });
  const bystander = RawClient.connect(http);
  let unserved = 0;
  let served = 0;
  await fc.assert(
    fc.asyncProperty(noise, noise, fc.integer({ min: 1, max: 40 }), async (request, response, cut) => {
      answer = response;
      const hostile = RawClient.connect(http);
      hostile.send(request.slice(0, cut));
      await new Promise((resolve) => setImmediate(resolve));
      hostile.send(request.slice(cut));
      hostile.socket.end();
      bystander.text = "";
      const text = await bystander.send(get("/well")).until((t) => t.endsWith("ok"));
      if (text.startsWith("HTTP/1.1 200 OK") && text.endsWith("ok")) served++;
      else unserved++;
      expect(bystander.closed).toBe(false);
      await hostile.untilEnd();
      hostile.socket.destroy();
    }),
    runs(300, 11),
  );
  // a time limit ends the last run in its middle
  expect(unserved).toBe(0);
  expect(served).toBeGreaterThan(0);
  expect(faults).toEqual([]);
  bystander.socket.destroy();
  await ingress.close();
  await up.close();
});
