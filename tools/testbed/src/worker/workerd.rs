//! Generates workerd's configuration (workerd.capnp) for the built Worker from wrangler.toml.
//!
//! It contains what sending needs: variables, secrets and Durable Objects.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use toml::{Table, Value};

use crate::settings::Settings;

/// The modules of a built Worker, each with its kind in workerd's schema.
const MODULES: [(&str, &str); 2] = [("index.js", "esModule"), ("index_bg.wasm", "wasm")];

/// Returns the configuration of a Worker in a folder that has its modules in `build`, `ca.pem`, and
/// `storage`.
pub(super) fn configuration(file: &str, settings: &Settings, folder: &Path, port: u16) -> Result<String> {
    let wrangler: Table = toml::from_str(file)?;
    let mut modules = String::new();
    for (name, kind) in MODULES {
        let file = quoted(&format!("build/{name}"));
        // Writing to a string cannot fail, here and below.
        let _ = write!(modules, "(name = {}, {kind} = embed {file}), ", quoted(name));
    }
    let mut bindings = String::new();
    for (name, value) in settings {
        let _ = write!(bindings, "(name = {}, text = {}), ", quoted(name), quoted(value));
    }
    let mut namespaces = String::new();
    for (name, class) in objects(&wrangler)? {
        let (name, class) = (quoted(name), quoted(class));
        let _ = write!(
            bindings,
            "(name = {name}, durableObjectNamespace = (className = {class})), "
        );
        let _ = write!(
            namespaces,
            "(className = {class}, uniqueKey = {class}, enableSql = true), "
        );
    }
    let date = wrangler.get("compatibility_date").and_then(Value::as_str);
    let flags = wrangler.get("compatibility_flags").and_then(Value::as_array);
    let flags: Vec<_> = flags
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(quoted)
        .collect();
    Ok(format!(
        r#"using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  sockets = [(name = "http", address = "127.0.0.1:{port}", http = (), service = "worker")],
  services = [
    (name = "worker", worker = .worker),
    (name = "storage", disk = (path = {storage}, writable = true)),
    (name = "internet", network = (allow = ["local"], tlsOptions = (trustedCertificates = [embed "ca.pem"]))),
  ],
);

const worker :Workerd.Worker = (
  modules = [{modules}],
  compatibilityDate = {date},
  compatibilityFlags = [{flags}],
  bindings = [{bindings}],
  durableObjectNamespaces = [{namespaces}],
  durableObjectStorage = (localDisk = "storage"),
);
"#,
        storage = quoted(&folder.join("storage").to_string_lossy()),
        date = quoted(date.context("wrangler.toml has no compatibility_date")?),
        flags = flags.join(", "),
    ))
}

/// Returns the binding and the class of each Durable Object.
fn objects(wrangler: &Table) -> Result<Vec<(&str, &str)>> {
    let bindings = wrangler
        .get("durable_objects")
        .and_then(|objects| objects.get("bindings"));
    let bindings = bindings
        .and_then(Value::as_array)
        .context("wrangler.toml has no objects")?;
    let objects = bindings.iter().map(|binding| {
        let field = |name| binding.get(name).and_then(Value::as_str);
        let object = field("name").zip(field("class_name"));
        object.context("an object in wrangler.toml has no name or no class")
    });
    objects.collect()
}

/// Returns a text as Cap'n Proto's schema language writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::{configuration, objects, quoted};
    use std::collections::BTreeMap;
    use std::path::Path;

    #[test]
    fn a_text_keeps_its_quotes_and_lines() {
        assert_eq!(quoted("a\"b\\c\nd"), r#""a\"b\\c\nd""#);
    }

    #[test]
    fn every_durable_object_of_the_project_is_bound_and_stored() {
        let file = std::fs::read_to_string(crate::root().join("wrangler.toml")).unwrap();
        let settings = BTreeMap::from([("A".to_owned(), "{\"b\":1}".to_owned())]);
        let text = configuration(&file, &settings, Path::new("/s"), 1).unwrap();
        assert!(text.contains(r#"(name = "A", text = "{\"b\":1}")"#), "{text}");
        let wrangler = toml::from_str(&file).unwrap();
        let objects = objects(&wrangler).unwrap();
        assert!(!objects.is_empty());
        for (_, class) in objects {
            assert_eq!(text.matches(&quoted(class)).count(), 3, "{text}");
        }
    }
}
