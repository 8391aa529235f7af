import { describe, expect, test } from "vitest";
import { outcomeOf, printCaseName, pureResolver, wantedOutcome } from "../../support/dns-cases.ts";
import { reverse, shop, shopCases } from "./shop.ts";

describe("the shop's names, from the answerer and the chain", () => {
  const resolve = pureResolver(shop, { kubernetes: { zones: ["cluster.local", ...reverse] } });
  test.each(shopCases.map((c) => [printCaseName(c), c] as const))("%s", async (_, c) => {
    expect(outcomeOf(await resolve(c))).toEqual(wantedOutcome(c));
  });
});
