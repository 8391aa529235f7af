import { readFileSync } from "node:fs";
import { StartError } from "../errors.ts";
import { authenticated, type User } from "../user.ts";

/** Lines of `token,user,uid[,"group1,group2"]`, as kube-apiserver's --token-auth-file; later lines win. */
export function parseTokenFile(text: string): ReadonlyMap<string, User> {
  const users = new Map<string, User>();
  for (const [i, line] of text.split("\n").entries()) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    const fields = csvFields(trimmed);
    const [token = "", name = "", uid = "", groups = ""] = fields;
    if (fields.length < 3 || token === "" || name === "") throw new Error(`line ${i + 1}`);
    users.set(
      token,
      authenticated({
        name,
        ...(uid === "" ? {} : { uid }),
        groups: groups
          .split(",")
          .map((g) => g.trim())
          .filter((g) => g !== ""),
      }),
    );
  }
  return users;
}

export function readTokenFile(file: string): ReadonlyMap<string, User> {
  try {
    return parseTokenFile(readFileSync(file, "utf8"));
  } catch (error) {
    throw new StartError("badTokenFile", file, error);
  }
}

function csvFields(line: string): string[] {
  return Array.from(line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g), (m) => (m[1]?.replaceAll('""', '"') ?? m[2] ?? "").trim());
}
