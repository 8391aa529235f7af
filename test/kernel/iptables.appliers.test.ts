import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, beforeEach, describe } from "vitest";
import { createIptablesApplier } from "../../rules/apply/iptables-applier.ts";
import { iptablesApplierContract } from "../contract/iptables-applier.ts";
import { iptablesIn } from "../support/iptables-in.ts";
import { lacking } from "../support/requires.ts";

const lack = lacking("ip", "iptables");
const prefix = `fwipt-${process.pid}`;
const ip = (...args: readonly string[]): string => execFileSync("ip", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
beforeEach((t) => t.skip(lack !== undefined, lack));

describe.each(["legacy", "nft"] as const)("in the kernel, %s", (make) => {
  const namespace = `${prefix}-${make}`;
  const renew = (): void => {
    ip("netns", "del", namespace);
    ip("netns", "add", namespace);
  };
  beforeAll(() => {
    if (lack === undefined) ip("netns", "add", namespace);
  });
  afterAll(() => {
    if (lack === undefined) ip("netns", "del", namespace);
  });
  iptablesApplierContract(() => {
    renew();
    return {
      applier: createIptablesApplier(make, iptablesIn(namespace)),
      flush: (table) => {
        for (const verb of ["-F", "-X"]) ip("netns", "exec", namespace, `iptables-${make}`, "-t", table, verb);
      },
    };
  });
});
