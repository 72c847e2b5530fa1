// Runs the Worker with wrangler's test harness, which alone can evict a single Durable Object, and gives access to the
// Worker's bindings.
//
//   node harness.mjs WRANGLER SETTINGS < commands
//
// Says where the Worker is. Each line of its input is a command, and is answered: `evict BINDING NAME` evicts an object,
// `queue TEXT` sends a message to the Worker's queue. The end of its input ends it. What it says begins with `@`, as
// wrangler speaks on the same output; what the Worker logs goes to its standard error.
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
  const [command, ...rest] = line.split(" ");
  if (command === "queue") {
    const { PUSHES } = await server.getWorker().getEnv();
    await PUSHES.send(rest.join(" "), { contentType: "text" });
    console.log("@queued");
  } else {
    const [binding, name] = rest;
    await server.getWorker().evictDurableObject(binding, { name });
    console.log(`@evicted ${binding} ${name}`);
  }
}
clearInterval(logs);
passLogsOn();
await server.close();
