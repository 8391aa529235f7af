import { createServer, type Server } from "node:http";
import { afterEach, expect, test } from "vitest";
import { waitEndpointGone } from "../../../src/daemon/endpoint-gone.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** An agent that is asked, and says whether the address is in use; the time passes whenever it has answered. */
async function lab(inUse: (ms: number) => boolean, apiAnswers: (ms: number) => boolean, patienceMs = 5_000): Promise<number> {
  const clock = new FakeClock();
  const server = createServer((_, response) => response.end(JSON.stringify({ inUse: inUse(clock.monotonic()) })));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const agents = [{ ip: "127.0.0.1", port: typeof address === "object" && address !== null ? address.port : 0 }];
  let over = false;
  const gone = waitEndpointGone(
    { ips: ["10.0.0.1"], agents, apiAnswers: () => Promise.resolve(apiAnswers(clock.monotonic())), patienceMs },
    clock,
    new AbortController().signal,
  ).then(() => {
    over = true;
  });
  while (!over) {
    if (clock.sleeping.length > 0) await clock.advance(clock.sleeping[0] ?? 0);
    else await new Promise((resolve) => setImmediate(resolve));
  }
  await gone;
  return clock.monotonic();
}

test.each<[name: string, inUse: (ms: number) => boolean, api: (ms: number) => boolean, until: number]>([
  ["what nobody uses is gone at once", () => false, () => true, 0],
  ["when the last has let it go", (ms) => ms < 300, () => true, 300],
  ["some Services keep it: a second", () => true, () => true, 1_000],
  ["the API is away, and back: until its change has come", (ms) => ms < 2_500, (ms) => ms > 2_000, 2_500],
  ["back, and it is kept: a second more", () => true, (ms) => ms > 2_000, 3_020],
  ["the API stays away: as long as the pod has patience", () => true, () => false, 5_000],
])("%s", async (_, inUse, api, until) => {
  const took = await lab(inUse, api);
  expect(took).toBeGreaterThanOrEqual(until);
  expect(took).toBeLessThanOrEqual(until + 60);
});
