import { expect, test } from "vitest";
import { RuleWatch } from "../../../rules/sync/rule-watch.ts";

/** A kernel that counts changes, or does not. */
function world({ counts }: { readonly counts: boolean }) {
  let all = 0;
  let own = 0;
  let seen = false;
  const change = (): void => {
    all++;
    seen = true;
  };
  const watch = new RuleWatch({
    eyes: {
      changed: () => seen,
      settle: () => {
        seen = false;
      },
      commits: () => (counts ? all : undefined),
      close: () => undefined,
    },
    intact: () => Promise.resolve(true),
    commits: () => own,
  });
  const ours = (): void => {
    change();
    own++;
  };
  return { watch, others: change, ours };
}

test.each([
  { name: "ours alone", others: 0, counts: true, changed: false },
  { name: "others' between ours", others: 1, counts: true, changed: true },
  { name: "others' where nobody counts", others: 1, counts: false, changed: false },
])("after a change of $name: changed is $changed, until a comparison", async ({ others, counts, changed }) => {
  const w = world({ counts });
  await w.watch.changing(() => {
    w.ours();
    for (let i = 0; i < others; i++) w.others();
    w.ours();
    return Promise.resolve();
  });
  expect(w.watch.changed()).toBe(changed);
  await w.watch.comparing(() => Promise.resolve());
  expect(w.watch.changed()).toBe(false);
  w.others();
  expect(w.watch.changed()).toBe(true);
});

test("a change of ours that fails half way is seen as anybody's", async () => {
  const w = world({ counts: true });
  const failing = w.watch.changing(() => {
    w.ours();
    return Promise.reject(new Error("refused"));
  });
  await expect(failing).rejects.toThrow("refused");
  expect(w.watch.changed()).toBe(true);
});
