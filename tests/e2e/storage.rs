//! What a killed Worker has stored: the rows and alarms of its objects, changed with SQLite itself.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

/// Where the objects of all classes are, in the folder of a Worker.
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

/// Brings the alarms of all objects forward, as if the Worker had been away for so long. The platform keeps an alarm with
/// its object's rows and in a list of each class.
///
/// The tables are workerd's own and documented nowhere. There is no other way to let alarms come early; with a workerd that
/// has other tables nothing is changed, and the assertion fails.
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
            // An object that never had an alarm has no table for it.
            changed += connection.execute(statement, [nanos]).unwrap_or_default();
        }
    }
    assert!(changed > 0, "there are no alarms in {}", folder.display());
}
