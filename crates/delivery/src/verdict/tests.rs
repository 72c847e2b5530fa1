use super::*;
use apns::TransportError;
use apns::time::Timestamp;

fn reply(status: u16, reason: Option<&str>) -> Outcome {
    let body = reason.map_or_else(String::new, |reason| format!("{{\"reason\":\"{reason}\"}}"));
    let header = |name: &str| (name == "apns-id" && reason.is_some()).then_some("id");
    Outcome::Answered(Reply::read(status, header, body.as_bytes(), Timestamp::default()))
}

#[test]
fn every_documented_reason_has_its_row() {
    for known in Reason::KNOWN {
        assert_eq!(
            TABLE.iter().filter(|(reason, _)| reason == known).count(),
            1,
            "{known}"
        );
    }
    assert_eq!(TABLE.len(), Reason::KNOWN.len());
}

#[test]
fn each_reason_means_what_apple_says() {
    // Status, reason, verdict: the rows of Apple's table, written out a second time by hand.
    let retry = |again| Verdict::Retry(again);
    for (status, reason, verdict) in [
        (400, "BadCollapseId", Verdict::FixRequest),
        (400, "BadDeviceToken", Verdict::CheckToken),
        (400, "BadExpirationDate", Verdict::FixRequest),
        (400, "BadMessageId", Verdict::FixRequest),
        (400, "BadPriority", Verdict::FixRequest),
        (400, "BadTopic", Verdict::FixRequest),
        (400, "DeviceTokenNotForTopic", Verdict::CheckToken),
        (400, "DuplicateHeaders", Verdict::FixRequest),
        (400, "IdleTimeout", retry(RetryCause::Connection)),
        (400, "InvalidPushType", Verdict::FixRequest),
        (400, "MissingDeviceToken", Verdict::FixRequest),
        (400, "MissingTopic", Verdict::FixRequest),
        (400, "PayloadEmpty", Verdict::FixRequest),
        (400, "TopicDisallowed", Verdict::CheckToken),
        (403, "BadCertificate", Verdict::FixCredentials),
        (403, "BadCertificateEnvironment", Verdict::FixCredentials),
        (
            403,
            "ExpiredProviderToken",
            retry(RetryCause::ProviderToken(TokenRefusal::Expired)),
        ),
        (403, "Forbidden", Verdict::FixCredentials),
        (403, "InvalidProviderToken", Verdict::FixCredentials),
        (403, "MissingProviderToken", Verdict::FixCredentials),
        (403, "UnrelatedKeyIdInToken", retry(RetryCause::Connection)),
        (403, "BadEnvironmentKeyIdInToken", Verdict::FixCredentials),
        (403, "BadEnvironmentKeyInToken", Verdict::FixCredentials),
        (404, "BadPath", Verdict::FixRequest),
        (405, "MethodNotAllowed", Verdict::FixRequest),
        (410, "ExpiredToken", Verdict::DropDevice),
        (410, "Unregistered", Verdict::DropDevice),
        (413, "PayloadTooLarge", Verdict::FixRequest),
        (
            429,
            "TooManyProviderTokenUpdates",
            retry(RetryCause::ProviderToken(TokenRefusal::TooManyUpdates)),
        ),
        (429, "TooManyRequests", retry(RetryCause::Device)),
        (500, "InternalServerError", retry(RetryCause::Server)),
        (503, "ServiceUnavailable", retry(RetryCause::Server)),
        (503, "Shutdown", retry(RetryCause::Connection)),
    ] {
        assert_eq!(judge(&reply(status, Some(reason))), verdict, "{status} {reason}");
    }
}

#[test]
fn an_unknown_reason_is_judged_by_its_status() {
    for (status, verdict) in [
        (400, Verdict::FixRequest),
        (403, Verdict::FixCredentials),
        (404, Verdict::FixRequest),
        (410, Verdict::DropDevice),
        (413, Verdict::FixRequest),
        (429, Verdict::Retry(RetryCause::Device)),
        (500, Verdict::Retry(RetryCause::Server)),
        (599, Verdict::Retry(RetryCause::Server)),
    ] {
        assert_eq!(judge(&reply(status, Some("BadMood"))), verdict, "{status}");
    }
}

#[test]
fn a_device_is_dropped_by_410_alone_and_whatever_its_reason() {
    for known in Reason::KNOWN.iter().map(Reason::as_str) {
        for status in (100..=599).filter(|status| *status != 410) {
            assert_ne!(
                judge(&reply(status, Some(known))),
                Verdict::DropDevice,
                "{status} {known}"
            );
        }
    }
    for reason in TOKEN_REASONS.into_iter().chain(["BadMood"]) {
        assert_eq!(judge(&reply(410, Some(reason))), Verdict::DropDevice, "{reason}");
    }
}

#[test]
fn what_is_about_the_token_or_the_topic_is_no_fault_of_the_credential() {
    for reason in TOKEN_REASONS {
        for status in [400, 403, 404, 413] {
            assert_eq!(
                judge(&reply(status, Some(reason))),
                Verdict::CheckToken,
                "{status} {reason}"
            );
        }
        for (status, verdict) in [
            (429, Verdict::Retry(RetryCause::Device)),
            (500, Verdict::Retry(RetryCause::Server)),
            (503, Verdict::Retry(RetryCause::Server)),
        ] {
            assert_eq!(judge(&reply(status, Some(reason))), verdict, "{status} {reason}");
        }
    }
    for reason in ["BadTopic", "MissingTopic"] {
        assert_eq!(judge(&reply(403, Some(reason))), Verdict::FixRequest, "{reason}");
    }
}

#[test]
fn refusals_about_token_or_topic_doubt_the_setup_and_no_others_do() {
    let mut doubting: Vec<&str> = TABLE
        .iter()
        .filter(|(reason, _)| {
            let verdict = judge(&reply(400, Some(reason.as_str())));
            doubts_setup(verdict, Some(reason.as_str()))
        })
        .map(|(reason, _)| reason.as_str())
        .collect();
    doubting.sort_unstable();
    assert_eq!(
        doubting,
        [
            "BadDeviceToken",
            "BadTopic",
            "DeviceTokenNotForTopic",
            "ExpiredToken",
            "MissingTopic",
            "TopicDisallowed",
            "Unregistered"
        ]
    );
    assert!(!doubts_setup(Verdict::DropDevice, Some("Unregistered")));
    assert!(!doubts_setup(Verdict::FixCredentials, Some("BadTopic")));
}

/// The reasons that speak of a device token.
const TOKEN_REASONS: [&str; 5] = [
    "BadDeviceToken",
    "DeviceTokenNotForTopic",
    "ExpiredToken",
    "TopicDisallowed",
    "Unregistered",
];

#[test]
fn a_proxy_never_drops_a_device_nor_blames_credentials() {
    for status in (100..=999).filter(|status| *status != 200) {
        let verdict = judge(&reply(status, None));
        assert!(
            matches!(verdict, Verdict::Unknown | Verdict::Retry(RetryCause::Network)),
            "{status}"
        );
    }
}

#[test]
fn apns_cannot_have_taken_what_never_left_or_had_a_refused_provider_token() {
    let untaken = |outcome: Outcome| cannot_have_been_taken(&outcome, judge(&outcome));
    for error in [
        TransportError::StreamRefused,
        TransportError::GoingAway,
        TransportError::Unreachable,
    ] {
        assert!(untaken(Outcome::NotSent(error)), "{error}");
    }
    assert!(untaken(reply(522, None)));
    for (status, reason) in [
        (403, "ExpiredProviderToken"),
        (403, "InvalidProviderToken"),
        (403, "UnrelatedKeyIdInToken"),
        (429, "TooManyProviderTokenUpdates"),
    ] {
        assert!(untaken(reply(status, Some(reason))), "{reason}");
    }
    for (status, reason) in [
        (200, None),
        (400, Some("IdleTimeout")),
        (410, Some("Unregistered")),
        (429, Some("TooManyRequests")),
        (500, Some("InternalServerError")),
        (503, Some("ServiceUnavailable")),
        (503, Some("Shutdown")),
        (520, None),
    ] {
        assert!(!untaken(reply(status, reason)), "{status} {reason:?}");
    }
    assert!(!untaken(Outcome::Lost(TransportError::ConnectionLost)));
}

#[test]
fn what_never_left_is_sent_again_and_what_was_lost_is_unknown() {
    assert_eq!(
        judge(&Outcome::NotSent(TransportError::GoingAway)),
        Verdict::Retry(RetryCause::Network)
    );
    assert_eq!(judge(&Outcome::Lost(TransportError::Deadline)), Verdict::Unknown);
    assert_eq!(judge(&reply(522, None)), Verdict::Retry(RetryCause::Network));
    assert_eq!(judge(&reply(520, None)), Verdict::Unknown);
}
