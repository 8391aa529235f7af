/** What is left of two lists without what they begin and end with alike. */
export function changedPart<T>(
  before: readonly T[],
  after: readonly T[],
  isSame: (a: T, b: T) => boolean,
): { readonly before: readonly T[]; readonly after: readonly T[] } {
  const shorter = Math.min(before.length, after.length);
  const same = (i: number, j: number): boolean => {
    const a = before[i];
    const b = after[j];
    return a !== undefined && b !== undefined && isSame(a, b);
  };
  let first = 0;
  while (first < shorter && same(first, first)) first++;
  let last = 0;
  while (last < shorter - first && same(before.length - 1 - last, after.length - 1 - last)) last++;
  return { before: before.slice(first, before.length - last), after: after.slice(first, after.length - last) };
}
