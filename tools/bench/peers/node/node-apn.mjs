// Sends with @parse/node-apn: one Provider for the process, as its documentation says.

import apn from "@parse/node-apn";
import { serve } from "./peer.mjs";

const { APNS_HOST, APNS_PORT, APNS_KEY, APNS_KEY_ID, APNS_TEAM_ID, APNS_TOPIC } = process.env;

const provider = new apn.Provider({
  token: { key: APNS_KEY, keyId: APNS_KEY_ID, teamId: APNS_TEAM_ID },
  address: APNS_HOST,
  port: Number(APNS_PORT),
  production: true,
});

await serve((order) => {
  const notification = new apn.Notification();
  const { alert, badge, sound } = order.payload.aps;
  Object.assign(notification, { topic: APNS_TOPIC, pushType: order.push_type, priority: order.priority });
  Object.assign(notification, { alert, badge, sound });
  return async (token) => {
    const { failed } = await provider.send(notification, token);
    if (failed.length > 0) {
      const [{ status, response, error }] = failed;
      throw { code: Number(status) || 0, reason: response?.reason ?? error?.message };
    }
  };
});
provider.shutdown();
