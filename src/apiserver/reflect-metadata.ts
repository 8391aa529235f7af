/** The library's container of parts asks for these three of the Reflect metadata proposal; nobody else here does. */
if (!("getMetadata" in Reflect)) {
  const all = new WeakMap<object, Map<unknown, unknown>>();
  const getOwnMetadata = (key: unknown, target: object): unknown => all.get(target)?.get(key);
  const getMetadata = (key: unknown, target: object): unknown => {
    for (let at: object | null = target; at !== null; at = Reflect.getPrototypeOf(at)) {
      const found = getOwnMetadata(key, at);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  const defineMetadata = (key: unknown, value: unknown, target: object): void => {
    const own = all.get(target) ?? new Map<unknown, unknown>();
    all.set(target, own.set(key, value));
  };
  Object.assign(Reflect, { getOwnMetadata, getMetadata, defineMetadata });
}

export {};
