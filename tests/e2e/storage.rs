//! The stored data of a killed Worker: changes rows and alarms of its objects with SQLite.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

/// The folder of all objects' databases, in the folder of a Worker.
const OBJECTS: &str = "storage/v3/do";

/// Executes a statement on all objects of a class.
pub(crate) fn change_rows(folder: &Path, class: &str, statement: &str) {
    let objects = folder.join(OBJECTS).join(format!("apns-edge-{class}"));
    let mut changed = 0;
    for file in fs::read_dir(&objects).unwrap() {
        let path = file.unwrap().path();
        let is_object = path.extension().is_some_and(|extension| extension == "sqlite");
        if is_object && path.file_stem().is_some_and(|stem| stem != "metadata") {
            let connection = Connection::open(&path).unwrap();
            changed += connection.execute(statement, ()).unwrap();
        }
    }
    assert!(changed > 0, "nothing was changed in {}", objects.display());
}

/// Brings the alarms of all objects forward, as if the Worker had been stopped for this time. The platform
/// stores an alarm with its object's rows and in a list per class.
///
/// The tables are workerd's own and undocumented, but there is no other way to make alarms fire early. With a
/// workerd that has other tables nothing is changed, and the assertion fails.
pub(crate) fn bring_alarms_forward(folder: &Path, by: Duration) {
    let nanos = i64::try_from(by.as_nanos()).unwrap();
    let of_list = "UPDATE _cf_ALARM SET scheduled_time = scheduled_time - ?";
    let of_object = "UPDATE _cf_METADATA SET value = value - ? WHERE key = 1 AND value IS NOT NULL";
    let mut changed = 0;
    for class in fs::read_dir(folder.join(OBJECTS)).unwrap() {
        for file in fs::read_dir(class.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "sqlite") {
                continue;
            }
            let connection = Connection::open(&path).unwrap();
            let is_list = path.file_stem().is_some_and(|stem| stem == "metadata");
            let statement = if is_list { of_list } else { of_object };
            // An object that never had an alarm has no such table.
            changed += connection.execute(statement, [nanos]).unwrap_or_default();
        }
    }
    assert!(changed > 0, "there are no alarms in {}", folder.display());
}
