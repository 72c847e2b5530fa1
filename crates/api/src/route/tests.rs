use super::*;

const ID: &str = "00112233445566778899aabbccddeeff";

#[test]
fn the_routes_are_found() {
    assert_eq!(Route::find("POST", "/v1/push"), Ok(Route::Push));
    assert_eq!(Route::find("GET", "/v1/doctor"), Ok(Route::Doctor));
    assert_eq!(Route::find("GET", "/v1/batches"), Ok(Route::Batches));
    assert_eq!(Route::find("GET", "/metrics"), Ok(Route::Metrics));
    let batch = |endpoint| Ok(Route::Batch { id: ID, endpoint });
    let path = format!("/v1/batches/{ID}");
    let receipts = format!("{path}/receipts");
    let cancel = format!("{path}/cancel");
    assert_eq!(Route::find("GET", &path), batch(BatchEndpoint::Status));
    assert_eq!(Route::find("DELETE", &path), batch(BatchEndpoint::Delete));
    assert_eq!(Route::find("GET", &receipts), batch(BatchEndpoint::Receipts));
    assert_eq!(Route::find("POST", &cancel), batch(BatchEndpoint::Cancel));
    assert_eq!(
        Route::find("POST", "/v1/dead-letters/7/replay"),
        Ok(Route::ReplayDeadLetter { id: "7" })
    );
}

#[test]
fn the_routes_of_audiences_are_found() {
    let audience = |endpoint| {
        Ok(Route::Audience {
            name: "all",
            endpoint,
        })
    };
    assert_eq!(Route::find("GET", "/v1/audiences"), Ok(Route::Audiences));
    for (method, below, endpoint) in [
        ("GET", "", AudienceEndpoint::Read),
        ("PUT", "", AudienceEndpoint::Put),
        ("DELETE", "", AudienceEndpoint::Delete),
        ("GET", "/devices", AudienceEndpoint::Export),
        ("POST", "/devices", AudienceEndpoint::Import),
        ("DELETE", "/devices", AudienceEndpoint::Remove),
        ("POST", "/devices/remove", AudienceEndpoint::Remove),
        ("POST", "/count", AudienceEndpoint::Count),
    ] {
        let path = format!("/v1/audiences/all{below}");
        assert_eq!(Route::find(method, &path), audience(endpoint), "{method} {path}");
    }
}

#[test]
fn the_routes_of_campaigns_are_found() {
    let campaign = |endpoint| Ok(Route::Campaign { id: ID, endpoint });
    assert_eq!(Route::find("GET", "/v1/campaigns"), Ok(Route::Campaigns));
    assert_eq!(Route::find("POST", "/v1/campaigns"), Ok(Route::CreateCampaign));
    for (method, below, endpoint) in [
        ("GET", "", CampaignEndpoint::Read),
        ("PUT", "", CampaignEndpoint::Replace),
        ("DELETE", "", CampaignEndpoint::Delete),
        ("POST", "/schedule", CampaignEndpoint::Schedule),
        ("POST", "/pause", CampaignEndpoint::Pause),
        ("POST", "/resume", CampaignEndpoint::Resume),
        ("POST", "/cancel", CampaignEndpoint::Cancel),
        ("POST", "/test", CampaignEndpoint::Test),
        ("POST", "/preview", CampaignEndpoint::Preview),
        ("GET", "/runs", CampaignEndpoint::Runs),
    ] {
        let path = format!("/v1/campaigns/{ID}{below}");
        assert_eq!(Route::find(method, &path), campaign(endpoint), "{method} {path}");
    }
}

#[test]
fn a_wrong_method_names_the_right_ones() {
    for (path, allowed) in [
        ("/v1/push", "POST"),
        ("/v1/batches/7", "GET, HEAD, DELETE"),
        ("/v1/batches/7/pause", "POST"),
        ("/v1/audiences/all/devices", "GET, HEAD, POST, DELETE"),
        ("/v1/campaigns", "GET, HEAD, POST"),
        ("/v1/campaigns/7/runs", "GET, HEAD"),
    ] {
        let answer = Route::find("PATCH", path).unwrap_err().answer();
        assert_eq!(
            (answer.status, answer.headers),
            (405, vec![("allow", allowed.to_owned())])
        );
    }
}

#[test]
fn head_is_taken_wherever_get_is_and_nowhere_else() {
    for entry in TABLE {
        let path = entry.path.replace("{id}", ID).replace("{name}", "all");
        assert!(Route::find(entry.method, &path).is_ok(), "{path}");
        let takes_get = Route::find(GET, &path);
        assert_eq!(Route::find(HEAD, &path).ok(), takes_get.ok(), "{path}");
    }
}

#[test]
fn a_path_is_exact() {
    for path in [
        "/",
        "",
        "/v1/push/",
        "/V1/push",
        "/v1/push?x",
        "//v1/push",
        "v1/push",
        "/v1/batches/",
        "/v1/batches/7/",
        "/v1/batches/7/none",
        "/v1/batches//cancel",
        "/v1/audiences/",
        "/v1/audiences/all/devices/",
        "/v1/audiences/all/devices/7",
        "/v1/campaigns//test",
        "/v1/campaigns/7/send",
        "/v1/campaigns/7/test/7",
    ] {
        assert_eq!(
            Route::find("POST", path).unwrap_err().kind(),
            Kind::NotFound,
            "{path}"
        );
    }
}
