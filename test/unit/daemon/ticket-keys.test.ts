import { expect, test } from "vitest";
import { TicketKeys } from "../../../src/daemon/ticket-keys.ts";

test("all processes have the same keys, also those that start later, and all get new ones; who has gone is told nothing", () => {
  let drawn = 0;
  const keys = new TicketKeys(undefined, (size) => Buffer.alloc(size, ++drawn));
  const heard: string[] = [];
  const asker = (name: string) => ({
    connected: true,
    send: (m: object) =>
      heard.push(
        `${name} ${Buffer.from("keys" in m ? String(m.keys) : "", "base64")
          .toString("hex")
          .slice(0, 4)}`,
      ),
  });
  const [one, two, three] = [asker("one"), asker("two"), asker("three")];
  keys.answer(one);
  keys.answer(two);
  keys.rotate();
  one.connected = false;
  keys.answer(three);
  keys.rotate();
  keys.close();
  expect(heard).toEqual(["one 0101", "two 0101", "one 0202", "two 0202", "three 0202", "two 0303", "three 0303"]);
});

test("who takes another's place goes on with its keys, if they are keys", () => {
  const before = Buffer.alloc(48, 9);
  const keys = new TicketKeys(before);
  expect(keys.current).toBe(before);
  keys.rotate();
  expect(keys.current).not.toEqual(before);
  keys.close();
  const fresh = new TicketKeys(Buffer.alloc(3));
  expect(fresh.current).toHaveLength(48);
  fresh.close();
});
