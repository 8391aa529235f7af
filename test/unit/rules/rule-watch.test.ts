import { expect, test } from "vitest";
import { RuleWatch } from "../../../rules/sync/rule-watch.ts";

/** A kernel that tallies changes: each of one, or of what it added. */
function world() {
  let all = 0;
  let own = 0;
  let seen = false;
  const others = (added = 1): void => {
    all += added;
    seen = true;
  };
  const watch = new RuleWatch({
    eyes: {
      changed: () => seen,
      settle: () => {
        seen = false;
      },
      tally: () => all,
      close: () => undefined,
    },
    intact: () => Promise.resolve(true),
    tally: () => own,
  });
  const ours = (added = 1): void => {
    others(added);
    own += added;
  };
  return { watch, others, ours };
}
type World = ReturnType<typeof world>;

test.each([
  { name: "ours alone", before: () => undefined, within: () => undefined, changed: false },
  { name: "others' between ours", before: () => undefined, within: (w: World) => w.others(), changed: true },
  { name: "others' that take away", before: () => undefined, within: (w: World) => w.others(-2), changed: true },
  { name: "others' just before ours", before: (w: World) => w.others(), within: () => undefined, changed: true },
])("after a change of $name: changed is $changed, until a comparison", async ({ before, within, changed }) => {
  const w = world();
  // whatever was before the first change of ours is none that it could hide
  w.others();
  await w.watch.changing(() => Promise.resolve(w.ours()));
  expect(w.watch.changed()).toBe(false);
  before(w);
  await w.watch.changing(() => {
    w.ours(3);
    within(w);
    w.ours(-1);
    return Promise.resolve();
  });
  expect(w.watch.changed()).toBe(changed);
  await w.watch.comparing(() => Promise.resolve());
  expect(w.watch.changed()).toBe(false);
  w.others();
  expect(w.watch.changed()).toBe(true);
});

test("a change of ours that fails half way is seen as anybody's", async () => {
  const w = world();
  const failing = w.watch.changing(() => {
    w.ours();
    return Promise.reject(new Error("refused"));
  });
  await expect(failing).rejects.toThrow("refused");
  expect(w.watch.changed()).toBe(true);
});
