//! `Idempotency-Key`: repeated uploads, and the separation of callers.

use std::thread;

use serde_json::json;

use super::pieces::Pieces;
use super::{Batch, head, lines, requests, sale, upload, upload_as};
use crate::caller::Answer;
use crate::deployment::{Caller, NEWS, SHOP, digest};
use crate::shared::Shared;

/// Returns the id of a caller's batch with this key.
pub(super) fn id(caller: Caller, key: &str) -> String {
    let parts = ["apns-edge batch", &format!("{caller:?}"), key];
    let with_length = parts.map(|part| {
        let length = u8::try_from(part.len()).unwrap();
        format!("{}{}{part}", "\0".repeat(7), char::from(length))
    });
    digest(&with_length.concat())[..32].to_owned()
}

#[test]
fn the_same_key_and_body_join_the_batch_while_it_runs_and_after_it() {
    let env = Shared::by_fetch();
    let devices = env.devices(&SHOP, "batches, keys", 40);
    let key = [("idempotency-key", "keys, join")];
    let body = sale(&devices);
    let first = upload(&env, &key, &body);
    assert_eq!(first.header("idempotent-replayed"), None);
    let (batch, _) = Batch::accepted(first);
    assert_eq!(batch.0, id(Caller::Both, "keys, join"));
    let join = || {
        let again = upload(&env, &key, &body);
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert_eq!(Batch::accepted(again).0, batch);
        let other = upload(&env, &key, &sale(&devices[1..]));
        other.problem(409, "idempotency-conflict");
    };
    join();
    batch.once_accepted(&env);
    join();
    let sent = requests(&env);
    assert!(devices.iter().all(|device| sent[device].len() == 1));

    // After a deletion, the same upload creates the same pushes with the same ids again.
    let deleted = env.call(Caller::Both, "DELETE", &batch.path(""), &[], b"");
    deleted.with_status(204);
    env.get(&batch.path("")).problem(404, "batch-not-found");
    let (again, _) = Batch::accepted(upload(&env, &key, &body));
    again.once_accepted(&env);
    super::assert_shown_once(&env, &devices);
}

#[test]
fn a_key_has_as_many_bytes_as_documented() {
    let env = Shared::by_fetch();
    let devices = env.devices(&SHOP, "batches, long keys", 1);
    for (length, status) in [(255, 202), (256, 422)] {
        let key = "k".repeat(length);
        let answer = upload(&env, &[("idempotency-key", &key)], &sale(&devices));
        assert_eq!(answer.status, status, "{length}: {}", answer.body);
    }
}

#[test]
fn two_uploads_at_once_with_one_key_are_one_batch() {
    let env = Shared::by_fetch();
    let devices = env.devices(&SHOP, "batches, at once", 30);
    let others = env.devices(&SHOP, "batches, in one moment", 5);
    let key = ("idempotency-key", "keys, at once");
    let body = sale(&devices);
    let (first, second) = body.split_at(body.len() / 2);
    let mut slow = Pieces::under_way(&env, key.1, first);
    slow.piece(second.as_bytes());
    let (batch, _) = Batch::accepted(slow.end());
    batch.once_accepted(&env);
    let (joined, _) = Batch::accepted(upload(&env, &[key], &body));
    assert_eq!(joined, batch);

    // All at the same time.
    let key = ("idempotency-key", "keys, in one moment");
    let answers: Vec<Answer> = thread::scope(|scope| {
        let uploads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| upload(&env, &[key], &sale(&others))))
            .collect();
        uploads.into_iter().map(|upload| upload.join().unwrap()).collect()
    });
    let mut made = 0;
    for answer in answers {
        if answer.status == 409 {
            answer.problem(409, "upload-in-progress");
        } else {
            made += u32::from(answer.header("idempotent-replayed").is_none());
            assert_eq!(Batch::accepted(answer).0.0, id(Caller::Both, key.1));
        }
    }
    assert_eq!(made, 1);
    Batch(id(Caller::Both, key.1)).once_accepted(&env);
    let sent = requests(&env);
    assert!(
        devices
            .iter()
            .chain(&others)
            .all(|device| sent[device].len() == 1)
    );
}

#[test]
fn callers_are_kept_apart() {
    let env = Shared::by_fetch();
    let devices = env.devices(&SHOP, "batches, apart", 2);
    let key = [("idempotency-key", "keys, apart")];
    let [first, second] = [Caller::Both, Caller::Shop].map(|caller| {
        let body = sale(&devices[..1]);
        Batch::accepted(upload_as(caller, &env, &key, &body)).0
    });
    assert_ne!(first, second);
    for batch in [&first, &second] {
        batch.once_accepted(&env);
        // Only callers with access to the app see the batch.
        env.call(Caller::Shop, "GET", &batch.path(""), &[], b"")
            .with_status(200);
        for (method, rest) in [
            ("GET", ""),
            ("DELETE", ""),
            ("GET", "/receipts"),
            ("GET", "/gone"),
            ("GET", "/suspect"),
            ("GET", "/events"),
            ("GET", "/deliveries"),
            ("POST", "/cancel"),
            ("POST", "/pause"),
            ("POST", "/resume"),
        ] {
            env.call(Caller::News, method, &batch.path(rest), &[], b"")
                .problem(404, "batch-not-found");
        }
        batch.status(&env);
    }
    let foreign = upload_as(Caller::News, &env, &[], &sale(&devices[1..]));
    foreign.problem(403, "forbidden");
    // The key of another caller has no access, although it would derive the same batch id.
    let news = json!({ "app": NEWS.name, "notification": head(json!({}))["notification"] });
    let tokens = env.devices(&NEWS, "batches, apart", 1);
    let (other, _) = Batch::accepted(upload_as(Caller::News, &env, &key, &lines(&news, &tokens)));
    assert_eq!(other.0, id(Caller::News, "keys, apart"));
    env.get(&other.path("")).with_status(200);
    env.call(Caller::Shop, "GET", &other.path(""), &[], b"")
        .problem(404, "batch-not-found");
    env.get("/v1/batches/0123").problem(404, "batch-not-found");
}
