// Runs the Worker with wrangler's test harness, which alone can evict a single Durable Object.
//
//   node evict.mjs WRANGLER SETTINGS < commands
//
// Says where the Worker is. Each line of its input, `BINDING NAME`, evicts an object, and is answered; the end of its
// input ends it. What it says begins with `@`, as wrangler speaks on the same output; what the Worker logs goes to its
// standard error.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [wrangler, settings] = process.argv.slice(2);
const { createTestHarness } = createRequire(import.meta.url)(wrangler);
const secrets = JSON.parse(readFileSync(settings, "utf8"));
const server = createTestHarness({ workers: [{ configPath: "wrangler.toml", secrets }] });

function passLogsOn() {
  for (const { message } of server.getLogs()) console.error(message);
  server.clearLogs();
}

const { url } = await server.listen();
const logs = setInterval(passLogsOn, 50);
console.log(`@${url.href}`);
for await (const line of createInterface({ input: process.stdin })) {
  const [binding, name] = line.split(" ");
  await server.getWorker().evictDurableObject(binding, { name });
  console.log(`@evicted ${line}`);
}
clearInterval(logs);
passLogsOn();
await server.close();
