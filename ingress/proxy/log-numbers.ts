/** Of each number of thousandths, what stands behind the point of a number, and the point; nothing for none. */
const decimals = Array.from({ length: 1000 }, (_, i) => String(i / 1000).slice(1));
/** The same with three digits always. */
const digits = Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, "0"));

/** To three places, as JSON writes it: a fraction's own conversion takes ten times as long. */
export function thousandths(value: number): string {
  const all = Math.round(value * 1000);
  return `${Math.floor(all / 1000)}${decimals[all % 1000]}`;
}

/** Milliseconds as seconds with three places. */
export function seconds(ms: number): string {
  const all = Math.round(ms);
  return `${Math.floor(all / 1000)}.${digits[all % 1000]}`;
}

let lastMillisecond = -1;
let lastIso = "";

/** Many lines are of one millisecond. */
export function isoTime(time: number): string {
  if (time !== lastMillisecond) {
    lastMillisecond = time;
    lastIso = new Date(time).toISOString();
  }
  return lastIso;
}
