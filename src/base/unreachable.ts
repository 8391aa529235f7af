/** For the end of a switch over a union: the compiler proves that no variant is left; at run time it is a bug. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}
