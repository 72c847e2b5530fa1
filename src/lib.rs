//! apns-edge: Apple push notifications from Cloudflare Workers.
