import type { ContainerPlan } from "./container-plan.ts";

/** What a plain process gets in place of a container's own view of the machine. */
export interface ProcessPlan {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workingDir: string;
}

/**
 * A container as a plain process. There is nothing to mount with, so paths below a mount are written as the places on this machine that
 * they stand for, wherever a word of the command or a value of the environment is such a path. A program that has a path built in
 * finds the machine's own file there.
 */
export function compileProcess(plan: ContainerPlan, extraEnv: Readonly<Record<string, string>>): ProcessPlan {
  const mounts = [...plan.mounts].sort((a, b) => b.path.length - a.path.length);
  const place = (path: string): string | undefined => {
    const mount = mounts.find((m) => path === m.path || path.startsWith(`${m.path}/`));
    return mount === undefined ? undefined : mount.source + path.slice(mount.path.length);
  };
  const rewrite = (word: string): string => {
    const whole = place(word);
    if (whole !== undefined) return whole;
    // --config=/etc/app/config.yaml
    const flag = /^(--?[A-Za-z0-9][A-Za-z0-9_.-]*=)(\/.*)$/s.exec(word);
    const value = flag?.[2] === undefined ? undefined : place(flag[2]);
    return value === undefined ? word : `${flag?.[1] ?? ""}${value}`;
  };
  const env = Object.fromEntries(Object.entries(plan.env).map(([name, value]) => [name, rewrite(value)]));
  return { argv: plan.argv.map(rewrite), env: { ...env, ...extraEnv }, workingDir: place(plan.workingDir) ?? plan.workingDir };
}
