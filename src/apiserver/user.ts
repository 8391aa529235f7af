/** Who asks. */
export interface User {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export const authenticatedGroup = "system:authenticated";

export const anonymous: User = { name: "system:anonymous", groups: ["system:unauthenticated"] };

export function hasGroup(user: User, group: string): boolean {
  return user.groups.includes(group);
}

/** The user with the group that every authenticated one has. */
export function authenticated(user: User): User {
  return { ...user, groups: [...new Set([...user.groups, authenticatedGroup])] };
}
