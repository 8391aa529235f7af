import { get } from "node:http";
import type { Clock } from "../base/clock.ts";
import { type Ip, printHostPort } from "../base/ip.ts";

/** A pod waits no longer for its endpoints to leave the tables, while there is an API to take them out. Milliseconds. */
const longest = 1000;
/** On larger clusters asking everyone would cost more than waiting. */
const mostNodes = 32;
const askEvery = 20;

export interface EndpointGone {
  readonly ips: readonly Ip[];
  readonly agents: readonly { readonly ip: Ip; readonly port: number }[];
  /** Whether the API server does, within a moment. */
  readonly apiAnswers: (signal: AbortSignal) => Promise<boolean>;
  /** Where the API is away, the pod waits this long at most. Milliseconds. */
  readonly patienceMs: number;
}

/**
 * Waits until no node's tables send new connections to any of `ips`, as their agents say, but 1 s at most: some Services keep an
 * endpoint to its end. While the API is away nobody could take it out, and the pod goes on; once it is back, it has that second
 * again. An agent that does not answer is taken to have nothing.
 */
export async function waitEndpointGone(o: EndpointGone, clock: Clock, signal: AbortSignal): Promise<void> {
  const { ips, agents } = o;
  let end = clock.monotonic() + longest;
  const last = clock.monotonic() + o.patienceMs;
  let wasAway = false;
  if (agents.length > mostNodes) {
    await clock.sleep(longest, signal);
    return;
  }
  let asking = agents;
  while (asking.length > 0) {
    const now = clock.monotonic();
    if (now >= end) {
      const isThere = now >= last || (await o.apiAnswers(signal));
      if (isThere && !wasAway) return;
      if (isThere) end = Math.min(last, clock.monotonic() + longest);
      wasAway = !isThere;
    }
    const answers = await Promise.all(asking.map((agent) => isUsed(agent, ips)));
    asking = asking.filter((_, i) => answers[i]);
    if (asking.length > 0) await clock.sleep(askEvery, signal);
  }
}

async function isUsed(agent: { readonly ip: Ip; readonly port: number }, ips: readonly Ip[]): Promise<boolean> {
  const answers = await Promise.all(
    ips.map((ip) => ask(`http://${printHostPort(agent.ip, agent.port)}/endpoint-in-use?ip=${encodeURIComponent(ip)}`)),
  );
  return answers.includes(true);
}

function ask(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(url, { timeout: 500 }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text += part;
      });
      response.on("end", () => resolve(text.includes('"inUse":true')));
      response.on("error", () => resolve(false));
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => resolve(false));
  });
}
