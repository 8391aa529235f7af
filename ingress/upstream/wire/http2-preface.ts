/** RFC 9113 section 3.4. */
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** Whether bytes begin with the preface of HTTP/2, or may still become one: `P` alone may also become a POST. */
export function prefaceIn(bytes: Buffer): "whole" | "begun" | "none" {
  if (bytes[0] !== 0x50) return "none";
  const text = bytes.toString("latin1", 0, preface.length);
  if (!preface.startsWith(text)) return "none";
  return text.length < preface.length ? "begun" : "whole";
}
