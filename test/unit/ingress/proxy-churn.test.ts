import { expect, test } from "vitest";
import type { RouteDelta } from "../../../ingress/index.ts";
import { type Answer, makeRoute, poolOf, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const rolls = 20;
const clients = 12;

/** An endpoint that ends as a pod does: what is in flight is answered, idle connections close at once, then it is gone. */
class Pod {
  readonly #inFlight = new Set<() => void>();
  #ending = false;
  readonly endpoint: Promise<RawEndpoint>;

  constructor() {
    this.endpoint = RawEndpoint.start((request) => this.#answer(request));
  }

  #answer(request: Parameters<Answer>[0]): void {
    const finish = (): void => {
      this.#inFlight.delete(finish);
      const text = `HTTP/1.1 200 OK\r\nContent-Length: ${request.body.length}\r\n${this.#ending ? "Connection: close\r\n" : ""}\r\n${request.body}`;
      if (this.#ending) request.socket.end(text);
      else request.socket.write(text);
    };
    this.#inFlight.add(finish);
    setImmediate(finish);
  }

  async end(): Promise<void> {
    this.#ending = true;
    const endpoint = await this.endpoint;
    // what was sent before the endpoint left the table is still on its way for a moment
    for (let quiet = 0; quiet < 10; quiet = this.#inFlight.size > 0 ? 0 : quiet + 1) await new Promise((resolve) => setImmediate(resolve));
    await endpoint.close();
  }
}

test("no request fails while endpoints roll and routes change", async () => {
  const [a, b] = [new Pod(), new Pod()];
  let pods: readonly Pod[] = [a, b];
  const portsOf = (list: readonly Pod[]): Promise<readonly number[]> => Promise.all(list.map(async (p) => (await p.endpoint).port));
  const { ingress, http } = await startLab(await portsOf(pods), { random: Math.random });
  let stop = false;
  let answered = 0;
  const failures: string[] = [];

  const load = async (n: number): Promise<void> => {
    const c = RawClient.connect(http);
    for (let i = 0; !stop; i++) {
      const body = `client ${n} request ${i}`;
      c.text = "";
      c.send(`${i % 3 === 0 ? "POST" : "PUT"} /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      const text = await c.until((t) => t.endsWith(body) || t.includes("</html>"));
      if (/^HTTP\/1\.1 200 OK\r\n/.test(text) && text.endsWith(body)) answered++;
      else failures.push(text.slice(0, 200));
      if (c.closed) break;
    }
    c.socket.destroy();
  };
  const running = Array.from({ length: clients }, (_, n) => load(n));
  for (let roll = 0; roll < rolls; roll++) {
    const before = answered;
    const [old, ...rest] = pods;
    pods = [...rest, new Pod()];
    const delta: RouteDelta = {
      revision: roll + 2,
      full: false,
      routes: { upserts: [makeRoute({ rule: `a.test/ ${roll}` })], deletes: [] },
      pools: { upserts: [poolOf(await portsOf(pods))], deletes: [] },
      certificates: { upserts: [], deletes: [] },
    };
    ingress.apply(delta);
    await old?.end();
    while (answered < before + clients * 3 && failures.length === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  stop = true;
  await Promise.all(running);
  await ingress.close();
  for (const pod of pods) await pod.end();
  expect(failures).toEqual([]);
  expect(answered).toBeGreaterThan(rolls * clients);
});
