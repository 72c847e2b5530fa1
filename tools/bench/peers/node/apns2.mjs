// Sends with apns2: one client for the process, which keeps its connections.

import { readFileSync } from "node:fs";
import { ApnsClient, Notification } from "apns2";
import { serve } from "./peer.mjs";

const { APNS_HOST, APNS_KEY, APNS_KEY_ID, APNS_TEAM_ID, APNS_TOPIC } = process.env;

const client = new ApnsClient({
  team: APNS_TEAM_ID,
  keyId: APNS_KEY_ID,
  signingKey: readFileSync(APNS_KEY, "utf8"),
  defaultTopic: APNS_TOPIC,
  host: APNS_HOST,
  keepAlive: true,
});

await serve((order) => {
  const options = { type: order.push_type, priority: order.priority, aps: order.payload.aps };
  return async (token) => {
    try {
      await client.send(new Notification(token, options));
    } catch (error) {
      throw { code: error.statusCode ?? 0, reason: error.reason ?? error.message };
    }
  };
});
await client.close();
