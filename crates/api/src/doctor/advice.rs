//! Advice for a credential that APNs refuses.

use apns::{Environment, Reason};

/// Returns what to check after a refusal with this reason, for an app in `environment`.
#[must_use]
pub(super) fn for_refusal(reason: &str, environment: Environment) -> String {
    let host = environment.host();
    let known = Reason::new(reason);
    if known == Reason::EXPIRED_PROVIDER_TOKEN {
        return "Check the clock that the deployment runs on: the provider token is renewed each half hour."
            .to_owned();
    }
    if known == Reason::TOO_MANY_PROVIDER_TOKEN_UPDATES {
        return "Check whether another sender signs tokens with this key: Apple allows one new token in 20 minutes."
            .to_owned();
    }
    let is_environment = [
        Reason::BAD_ENVIRONMENT_KEY_ID_IN_TOKEN,
        Reason::BAD_ENVIRONMENT_KEY_IN_TOKEN,
        Reason::BAD_CERTIFICATE_ENVIRONMENT,
    ]
    .contains(&known);
    if is_environment {
        return format!(
            "The key is not for this environment. Compare the app's `environment`, which is `{environment}` ({host}), \
             with the environments of the key in Apple's developer portal."
        );
    }
    format!(
        "Compare with Apple's developer portal: `key_id` with the key's id (its file is AuthKey_<key id>.p8), `team_id` \
         with the team id under Membership, the secret APNS_KEY_<key id> with that file, and `environment`, which is \
         `{environment}` ({host}), with the environments of the key. Check that the key is not revoked."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_compare() {
        let advice = |reason| for_refusal(reason, Environment::Sandbox);
        for part in ["key_id", "team_id", "`sandbox`", "revoked"] {
            assert!(advice("InvalidProviderToken").contains(part), "{part}");
            assert!(advice("SomethingNew").contains(part), "{part}");
        }
        assert!(advice("BadEnvironmentKeyIdInToken").contains("api.sandbox.push.apple.com"));
        assert!(advice("ExpiredProviderToken").contains("clock"));
        assert!(advice("TooManyProviderTokenUpdates").contains("another sender"));
    }
}
