const generatedLength = 5;
const maxGeneratedBase = 63 - generatedLength;
/** No vowels, no digits like letters: generated names spell nothing. */
const alphabet = "bcdfghjklmnpqrstvwxz2456789";

/** A name from `generateName`: its start, cut to leave room, and five characters. `random` is in [0, 1). */
export function generateName(base: string, random: () => number): string {
  let name = base.slice(0, maxGeneratedBase);
  for (let i = 0; i < generatedLength; i++) name += alphabet[Math.floor(random() * alphabet.length)] ?? "x";
  return name;
}
