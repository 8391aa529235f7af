import type { RunCommand } from "../../src/kernel/command.ts";
import { parseSetSave, printSetStep, type SetStep } from "../../src/kernel/ipset.ts";
import { IpsetNetlink, type SetFailure } from "../../src/kernel/ipset-netlink.ts";
import { type SetDefinition, type SetEntry, setPrefix } from "../ipvs/values.ts";
import { runKnown, stepsAtOnce } from "./commands.ts";
import { ApplyError, type ApplyErrorCode } from "./errors.ts";

/** The sets. */
export interface Sets {
  /** Those whose names start so; ours where nothing is said. */
  read(signal: AbortSignal, prefix?: string): Promise<{ readonly sets: readonly SetDefinition[]; readonly entries: readonly SetEntry[] }>;
  /** In order; some after one that failed may not be tried. What is done, and what was said of the first that failed. */
  commit(steps: readonly SetStep[], signal: AbortSignal): Promise<SetOutcome>;
  close(): void;
}

export interface SetOutcome {
  readonly done: readonly SetStep[];
  readonly refusal?: { readonly step: SetStep | undefined; readonly code: ApplyErrorCode; readonly text: string };
}

/** Over netlink in this process. Throws where that cannot be used from here. */
export function openNetlinkSets(): Sets {
  const ipset = new IpsetNetlink();
  return {
    read: (_, prefix = setPrefix) => Promise.resolve(ipset.read(prefix)),
    async commit(steps) {
      const failures: SetFailure[] = [];
      for (let i = 0; i < steps.length; i += stepsAtOnce) {
        if (i > 0) await new Promise((resolve) => setImmediate(resolve));
        failures.push(...ipset.commit(steps.slice(i, i + stepsAtOnce)));
      }
      const [first] = failures;
      if (first === undefined) return { done: steps };
      const failed = new Set(failures.map((f) => f.step));
      const text = `ipset: ${first.text}: ${printSetStep(first.step)}`;
      return {
        done: steps.filter((s) => !failed.has(s)),
        refusal: { step: first.step, code: setFailureCode(first.step, first.code), text },
      };
    },
    close: () => ipset.close(),
  };
}

function setFailureCode(step: SetStep, code: string): ApplyErrorCode {
  if (code === "EPERM") return "UNUSABLE";
  if (code === "ENOMEM" || code === "ENOBUFS") return "UNAVAILABLE";
  // no such set; it is there already; in use; the entry is there already or is not there
  const divergence = code === "EEXIST" || (code === "ENOENT" && step.verb !== "create") || /410[03]$/.test(code);
  return divergence ? "DIVERGED" : "REFUSED";
}

/** The portable way: the command ipset. */
export function openCommandSets(run: RunCommand): Sets {
  const ipset = (args: readonly string[], input: string, signal: AbortSignal) => runKnown(run, ["ipset", ...args], input, signal, "ipset");
  return {
    async read(signal, prefix = setPrefix) {
      const names = await ipset(["list", "-name"], "", signal);
      if (names.code !== 0) throw new ApplyError("UNUSABLE", `sets cannot be read: ${names.stderr.trim()}`);
      const all = names.stdout.split("\n").filter((n) => n !== "");
      const own = all.filter((n) => n.startsWith(prefix));
      if (own.length === 0) return { sets: [], entries: [] };
      // others' sets may be large: they are not read
      let text = "";
      if (own.length === all.length) text = (await ipset(["save"], "", signal)).stdout;
      else for (const name of own) text += (await ipset(["save", name], "", signal)).stdout;
      return parseSetSave(text);
    },
    async commit(steps, signal) {
      if (steps.length === 0) return { done: [] };
      const result = await ipset(["restore"], `${steps.map(printSetStep).join("\n")}\n`, signal);
      if (result.code === 0) return { done: steps };
      const failed = Number(/Error in line (\d+)/.exec(result.stderr)?.[1] ?? 1) - 1;
      const text = result.stderr.trim().split("\n")[0] ?? "";
      return { done: steps.slice(0, failed), refusal: { step: steps[failed], code: setRefusalCode(text), text } };
    },
    close: () => undefined,
  };
}

function setRefusalCode(said: string): ApplyErrorCode {
  if (/not permitted/.test(said)) return "UNUSABLE";
  return /already (added|exists)|not added|does not exist|same name|in use by a kernel/.test(said) ? "DIVERGED" : "REFUSED";
}

/** What a refusal means; `owner`: whom it was for. */
export function setFailure({ code, text }: NonNullable<SetOutcome["refusal"]>, owner?: string): ApplyError {
  return new ApplyError(code, text, { owner });
}
