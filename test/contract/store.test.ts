import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { MemoryStore } from "../../src/store/memory-store.ts";
import { openSqliteStore } from "../../src/store/sqlite-store.ts";
import { storeContract } from "./store.ts";

const folder = mkdtempSync(join(tmpdir(), "fairway-store-"));
let files = 0;
afterAll(() => rmSync(folder, { recursive: true }));

storeContract("memory store", async () => new MemoryStore());
storeContract("SQLite store", () => openSqliteStore(join(folder, `${files++}.db`)));
