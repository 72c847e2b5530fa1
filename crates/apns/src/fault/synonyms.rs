//! Names that other services, libraries and programming languages use for our fields.
//!
//! Similar spelling does not connect `ttl` with `expiration`. Each word here maps to one or more of our
//! fields; the first one that is allowed at its position is suggested.

/// Returns the field in `known` that `word`, in lower case, is a synonym of.
pub(super) fn meant(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let plain: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
    let (_, meanings) = MEANINGS
        .iter()
        .find(|(words, _)| words.contains(&plain.as_str()))?;
    meanings
        .iter()
        .find_map(|meaning| known.iter().find(|name| *name == meaning).copied())
}

/// Words, in lower case with only letters and digits, and the fields that they mean.
const MEANINGS: &[(&[&str], &[&str])] = &[
    // Devices.
    (
        &[
            "devicetoken",
            "pushtoken",
            "apnstoken",
            "apntoken",
            "registrationid",
            "deviceid",
        ],
        &["token", "devices"],
    ),
    (&["to", "recipient", "address"], &["token", "devices", "until"]),
    (
        &[
            "tokens",
            "devicetokens",
            "registrationids",
            "registrationtokens",
            "recipients",
            "includeplayerids",
        ],
        &["devices", "token", "refs"],
    ),
    (
        &[
            "id",
            "userid",
            "externalid",
            "reference",
            "uid",
            "alias",
            "customerid",
            "externaluserid",
        ],
        &["ref", "apns_id", "name"],
    ),
    (&["refs", "users", "userids"], &["refs", "devices", "ref"]),
    (&["lang", "language", "languagecode"], &["locale", "language"]),
    (&["timezone", "tz", "zone"], &["time_zone"]),
    (
        &[
            "properties",
            "props",
            "customattributes",
            "userattributes",
            "fields",
        ],
        &["attributes"],
    ),
    (
        &["createdat", "registered", "subscribedat", "addedat", "updatedat"],
        &["registered_at"],
    ),
    (&["labels", "groups"], &["tags"]),
    (&["env"], &["environment"]),
    // Notifications.
    (&["message", "push", "msg"], &["notification", "payload"]),
    (
        &[
            "aps",
            "alert",
            "title",
            "body",
            "badge",
            "sound",
            "data",
            "content",
            "customdata",
            "text",
        ],
        &["payload", "notification"],
    ),
    (
        &[
            "ttl",
            "timetolive",
            "expiry",
            "expires",
            "expiresat",
            "apnsexpiration",
            "validuntil",
        ],
        &["expiration"],
    ),
    (
        &["collapsekey", "apnscollapseid", "threadid", "dedupeid"],
        &["collapse_id"],
    ),
    (&["apnspriority", "urgency", "importance"], &["priority"]),
    (&["apnspushtype", "type", "kind"], &["push_type"]),
    (
        &["apnstopic", "bundleid", "bundle", "bundleidentifier"],
        &["topic", "app"],
    ),
    (&["appid", "appname", "application", "project"], &["app"]),
    (&["uuid", "messageid", "notificationid"], &["apns_id"]),
    (&["shorten", "truncatealert"], &["truncate"]),
    (&["options", "settings"], &["batch"]),
    (&["onerror", "skipinvalid", "ignoreinvalid"], &["on_invalid"]),
    (&["payload"], &["notification"]),
    // Batches and campaigns.
    (
        &[
            "throttle",
            "ratelimit",
            "speed",
            "pushespersecond",
            "maxrate",
            "limit",
        ],
        &["rate", "max"],
    ),
    (
        &["callback", "callbackurl", "webhookurl", "url", "notify"],
        &["webhook"],
    ),
    (&["retry", "retries", "retryuntil", "retryfor"], &["retry_for"]),
    (&["share"], &["weight"]),
    (
        &[
            "filter",
            "filters",
            "where",
            "query",
            "conditions",
            "targeting",
            "eq",
            "any",
            "not",
            "exists",
        ],
        &["segment"],
    ),
    (&["list", "target", "audiencename", "group"], &["audience"]),
    (
        &["translations", "localizations", "locales", "languages", "i18n"],
        &["variants"],
    ),
    (
        &["fallbacks", "default", "fallback"],
        &["defaults", "default_time_zone"],
    ),
    (
        &[
            "sendat",
            "scheduledat",
            "schedulefor",
            "date",
            "time",
            "datetime",
            "when",
        ],
        &["at", "schedule"],
    ),
    (&["crontab", "repeat", "recurrence", "interval"], &["cron"]),
    (
        &["start", "startat", "startsat", "begin", "after", "notbefore"],
        &["from", "after", "at"],
    ),
    (
        &["end", "endat", "endsat", "before", "notafter"],
        &["until", "to", "before"],
    ),
    (&["quiethours", "deliverywindow", "hours"], &["window"]),
    (&["cap", "capping", "frequencycap"], &["frequency"]),
    (&["period"], &["per"]),
    (&["count", "times"], &["max"]),
    (&["scope"], &["of"]),
    // Segments.
    (&["and", "allof", "must", "every"], &["all"]),
    (&["or", "anyof", "should", "some"], &["any"]),
    (
        &[
            "none",
            "noneof",
            "mustnot",
            "neq",
            "ne",
            "notequals",
            "nin",
            "notin",
        ],
        &["not"],
    ),
    (&["equals", "equal", "is", "term", "match"], &["eq"]),
    (
        &["oneof", "contains", "includes", "anyofvalues", "terms"],
        &["in"],
    ),
    (&["has", "isset", "present", "defined"], &["exists"]),
    (&["lt", "lte", "lessthan", "less", "max"], &["before"]),
    (
        &["gt", "gte", "greaterthan", "greater", "min", "since"],
        &["after"],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::nearest;

    #[test]
    fn a_word_of_other_services_leads_to_ours() {
        let device = &["token", "ref", "payload", "apns_id"];
        let notification = &["payload", "push_type", "priority", "expiration", "collapse_id"];
        let segment = &["all", "any", "not", "eq", "in", "exists", "before", "after"];
        for (word, known, ours) in [
            ("ttl", &notification[..], "expiration"),
            ("time_to_live", notification, "expiration"),
            ("message", notification, "payload"),
            ("message", &["notification", "devices"], "notification"),
            ("device_token", device, "token"),
            ("deviceToken", device, "token"),
            ("registration_id", device, "token"),
            ("to", device, "token"),
            ("user_id", device, "ref"),
            ("collapseId", notification, "collapse_id"),
            ("and", segment, "all"),
            ("OR", segment, "any"),
            ("gte", segment, "after"),
            ("eq", &["segment"], "segment"),
        ] {
            assert_eq!(nearest(word, known), Some(ours), "{word}");
        }
        assert_eq!(nearest("ttl", device), None);
    }

    #[test]
    fn each_word_has_one_entry_and_no_separators() {
        let words: Vec<&str> = MEANINGS.iter().flat_map(|(words, _)| *words).copied().collect();
        for (index, word) in words.iter().enumerate() {
            assert!(
                word.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()),
                "{word}"
            );
            assert!(!words[..index].contains(word), "{word} twice");
        }
    }
}
