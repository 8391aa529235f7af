import { expect, test } from "vitest";
import { createHealth } from "../../../src/observe/health.ts";

function health() {
  const h = createHealth();
  h.add("synced", () => "Services are not listed yet");
  h.add("rules", async () => undefined, ["livez", "readyz", "healthz"]);
  return h;
}

test.each([
  ["all well, short", "livez", {}, 200, "ok"],
  ["all well, verbose", "livez", { verbose: true }, 200, "[+]ping ok\n[+]rules ok\nlivez check passed\n"],
  ["one failed", "readyz", {}, 500, "[+]ping ok\n[-]synced failed: Services are not listed yet\n[+]rules ok\nreadyz check failed\n"],
  [
    "excluded",
    "readyz",
    { verbose: true, exclude: ["synced"] },
    200,
    "[+]ping ok\n[+]synced excluded: ok\n[+]rules ok\nreadyz check passed\n",
  ],
  ["one check", "readyz", { only: "rules" }, 200, "ok"],
  ["no such check", "livez", { only: "synced" }, 404, "no such check: synced\n"],
] as const)("%s", async (_, endpoint, request, status, body) => {
  expect(await health().ask(endpoint, request)).toMatchObject({ status, body });
});

test("a check that throws has failed; a removed one is gone; a name is used once", async () => {
  const h = createHealth();
  const remove = h.add("store", () => {
    throw new Error("disk is full");
  });
  expect((await h.ask("readyz")).failed).toEqual([{ name: "store", message: "disk is full" }]);
  expect(() => h.add("store", () => undefined)).toThrow("store exists already");
  remove();
  expect((await h.ask("readyz")).status).toBe(200);
});
