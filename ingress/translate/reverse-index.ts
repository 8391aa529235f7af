/** Which keys name a thing: kept current as what they name changes. */
export class ReverseIndex {
  readonly #users = new Map<string, Set<string>>();

  usersOf(thing: string): ReadonlySet<string> {
    return this.#users.get(thing) ?? none;
  }

  has(thing: string): boolean {
    return this.#users.has(thing);
  }

  things(): Iterable<string> {
    return this.#users.keys();
  }

  /** `key` named `before` and names `after`; gives what is now named for the first time or by nobody any more. */
  move(key: string, before: readonly string[], after: readonly string[]): readonly string[] {
    const turned: string[] = [];
    for (const thing of before) {
      const users = this.#users.get(thing);
      if (after.includes(thing) || users === undefined || !users.delete(key)) continue;
      if (users.size > 0) continue;
      this.#users.delete(thing);
      turned.push(thing);
    }
    for (const thing of after) {
      const users = this.#users.get(thing);
      if (users === undefined) {
        this.#users.set(thing, new Set([key]));
        turned.push(thing);
      } else users.add(key);
    }
    return turned;
  }
}

const none: ReadonlySet<string> = new Set();
