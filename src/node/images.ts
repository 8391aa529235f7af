import { parse } from "yaml";
import { NodeError } from "./errors.ts";

/** What an image is here: a root to start from, and a command. */
export interface Image {
  /** `host`: a layer over this machine's root; else a folder with an unpacked image. */
  readonly root: "host" | { readonly folder: string };
  /** Laid in read-only: path in the container → path on this machine. */
  readonly files: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workingDir: string;
  readonly user: string;
}

export interface ImageEntry {
  readonly match: string;
  readonly image: Image;
}

/** Where built-in images find their program: the runtime's binary and the folder of bundled programs, on this machine. */
export interface BuiltInPrograms {
  readonly nodeBinary: string;
  readonly distFolder: string;
}

/** Where the runtime and the programs are inside a container: the checkout itself may lie below a folder that is hidden there. */
export const containerPaths = { node: "/opt/fairway/bin/node", dist: "/opt/fairway/dist" } as const;

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const imageKeys = new Set(["match", "root", "files", "entrypoint", "cmd", "env", "workingDir", "user"]);

/** The images file of the command line. Throws an `images-file` NodeError that names the entry and what is wrong with it. */
export function parseImages(text: string, path: string): readonly ImageEntry[] {
  const fail = (what: string): never => {
    throw new NodeError("images-file", `${path}: ${what}`);
  };
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    return fail(error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error));
  }
  if (!isRecord(document) || !Array.isArray(document["images"])) return fail("expected a list `images`");
  return (document["images"] as readonly unknown[]).map((entry, index) => {
    const at = `images[${index}]`;
    if (!isRecord(entry)) return fail(`${at}: expected an object`);
    for (const key of Object.keys(entry)) if (!imageKeys.has(key)) fail(`${at}.${key}: unknown field`);
    const { match, root, workingDir, user } = entry;
    if (typeof match !== "string" || match === "") return fail(`${at}.match: expected an image name or a glob`);
    if (root !== undefined && (typeof root !== "string" || (root !== "host" && !root.startsWith("/")))) {
      return fail(`${at}.root: expected \`host\` or an absolute path`);
    }
    if (workingDir !== undefined && (typeof workingDir !== "string" || !workingDir.startsWith("/"))) {
      return fail(`${at}.workingDir: expected an absolute path`);
    }
    if (user !== undefined && typeof user !== "string" && typeof user !== "number") return fail(`${at}.user: expected a name or a number`);
    const files = stringRecord(entry["files"], `${at}.files`, fail);
    for (const [inside, outside] of Object.entries(files)) {
      if (!inside.startsWith("/") || !outside.startsWith("/")) fail(`${at}.files: ${inside}: expected absolute paths`);
    }
    const image: Image = {
      root: root === undefined || root === "host" ? "host" : { folder: root },
      files,
      entrypoint: stringList(entry["entrypoint"], `${at}.entrypoint`, fail),
      cmd: stringList(entry["cmd"], `${at}.cmd`, fail),
      env: { PATH: defaultPath, ...stringRecord(entry["env"], `${at}.env`, fail) },
      workingDir: workingDir ?? "/",
      user: String(user ?? 0),
    };
    return { match, image };
  });
}

/** The images that every node has. */
export function builtInImages(programs: BuiltInPrograms): readonly ImageEntry[] {
  const image = (entrypoint: readonly string[], files: Image["files"]): Image => ({
    root: "host",
    files,
    entrypoint,
    cmd: [],
    env: { PATH: defaultPath },
    workingDir: "/",
    user: "0",
  });
  const echo = image([containerPaths.node, `${containerPaths.dist}/echo.program.mjs`], {
    [containerPaths.node]: programs.nodeBinary,
    [containerPaths.dist]: programs.distFolder,
  });
  // A shell that waits: the first process of a container has no default action for SIGTERM (pid_namespaces(7)), so it traps it.
  const wait = image(["/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done"], {});
  return [
    { match: "fairway/echo", image: echo },
    { match: "fairway/shell", image: wait },
    { match: "fairway/pause", image: wait },
  ];
}

/** The first entry that matches; a name without a tag or digest also matches an entry for its `:latest`, and the other way round. */
export function findImage(name: string, entries: readonly ImageEntry[]): Image | undefined {
  const names = imageNames(name);
  return entries.find((entry) => names.some((n) => matchesGlob(entry.match, n)))?.image;
}

/** `*` stands for any characters, `/` too; everything else for itself. */
export function matchesGlob(glob: string, text: string): boolean {
  const parts = glob.split("*");
  const first = parts[0] ?? "";
  if (parts.length === 1) return glob === text;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  const last = parts.at(-1) ?? "";
  return text.length - last.length >= at && text.endsWith(last);
}

// Docker's rules of names: no tag means latest, and docker.io (and its library/) may be left out.
function imageNames(name: string): readonly string[] {
  const bare = name.replace(/^(index\.)?docker\.io\/(library\/)?/, "");
  const tagged = /[:@][^/]*$/.test(bare);
  return [...new Set([name, bare, ...(tagged ? [bare.replace(/:latest$/, "")] : [`${bare}:latest`])])];
}

function stringList(value: unknown, at: string, fail: (what: string) => never): readonly string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) return fail(`${at}: expected a list of strings`);
  return value.map((v, i) => (typeof v === "string" || typeof v === "number" ? String(v) : fail(`${at}[${i}]: expected a string`)));
}

function stringRecord(value: unknown, at: string, fail: (what: string) => never): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) return fail(`${at}: expected an object of strings`);
  return Object.fromEntries(
    Object.entries(value).map(([k, v]) => [
      k,
      typeof v === "string" || typeof v === "number" ? String(v) : fail(`${at}.${k}: expected a string`),
    ]),
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
