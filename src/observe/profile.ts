import { Session } from "node:inspector/promises";
import type { ObserveHandler } from "./http-endpoint.ts";

const longest = 300;

/** `/debug/pprof/profile?seconds=N`: where this process spends its time, as a .cpuprofile that Chromium's tools and editors open. */
export const cpuProfile: ObserveHandler = async (url) => {
  const seconds = Math.min(Number(url.searchParams.get("seconds") ?? "30"), longest);
  if (!(seconds > 0)) return { status: 400, contentType: "text/plain", body: "seconds: must be a number above 0\n" };
  const session = new Session();
  session.connect();
  try {
    await session.post("Profiler.enable");
    await session.post("Profiler.start");
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const { profile } = await session.post("Profiler.stop");
    return { status: 200, contentType: "application/json", body: JSON.stringify(profile) };
  } finally {
    session.disconnect();
  }
};
