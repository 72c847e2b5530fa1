//! workerd's own configuration (workerd.capnp) for the built Worker, after wrangler.toml.
//!
//! workerd runs the Worker directly and not under `wrangler dev`, whose proxies are there for developers and would be
//! measured with it. In scope is what sending needs: variables, secrets and Durable Objects.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

/// The modules of a built Worker: a name, and its kind in workerd's words.
const MODULES: [(&str, &str); 2] = [("index.js", "esModule"), ("index_bg.wasm", "wasm")];

/// What wrangler.toml says that workerd must know too.
#[derive(Debug, Deserialize)]
struct Wrangler {
    compatibility_date: String,
    #[serde(default)]
    compatibility_flags: Vec<String>,
    #[serde(default)]
    durable_objects: DurableObjects,
}

#[derive(Debug, Default, Deserialize)]
struct DurableObjects {
    #[serde(default)]
    bindings: Vec<ObjectBinding>,
}

#[derive(Debug, Deserialize)]
struct ObjectBinding {
    name: String,
    class_name: String,
}

/// Writes the configuration and what it refers to into a folder; returns the file.
pub(super) fn write(
    folder: &Path,
    worker: &Path,
    wrangler: &Path,
    settings: &[(String, String)],
    ca: &Path,
    address: SocketAddr,
) -> Result<PathBuf> {
    for (module, _) in MODULES {
        let from = worker.join(module);
        fs::copy(&from, folder.join(module))
            .with_context(|| format!("there is no {}: build the Worker first", from.display()))?;
    }
    fs::copy(ca, folder.join("ca.pem"))?;
    let storage = folder.join("storage");
    fs::create_dir_all(&storage)?;
    let wrangler =
        fs::read_to_string(wrangler).with_context(|| format!("{} cannot be read", wrangler.display()))?;
    let wrangler = toml::from_str(&wrangler)?;
    let file = folder.join("config.capnp");
    fs::write(&file, text(&wrangler, settings, &storage, address))?;
    Ok(file)
}

fn text(wrangler: &Wrangler, settings: &[(String, String)], storage: &Path, address: SocketAddr) -> String {
    let mut modules = String::new();
    for (name, kind) in MODULES {
        // Writing to a string cannot fail, here and below.
        let _ = write!(modules, "(name = {0}, {kind} = embed {0}), ", quoted(name));
    }
    let mut bindings = String::new();
    for (name, value) in settings {
        let _ = write!(bindings, "(name = {}, text = {}), ", quoted(name), quoted(value));
    }
    let mut namespaces = String::new();
    for ObjectBinding { name, class_name } in &wrangler.durable_objects.bindings {
        let (name, class) = (quoted(name), quoted(class_name));
        let _ = write!(
            bindings,
            "(name = {name}, durableObjectNamespace = (className = {class})), "
        );
        let _ = write!(
            namespaces,
            "(className = {class}, uniqueKey = {class}, enableSql = true), "
        );
    }
    let flags: Vec<_> = wrangler
        .compatibility_flags
        .iter()
        .map(|flag| quoted(flag))
        .collect();
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  sockets = [(name = "http", address = {address}, http = (), service = "worker")],
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
        address = quoted(&address.to_string()),
        storage = quoted(&storage.to_string_lossy()),
        date = quoted(&wrangler.compatibility_date),
        flags = flags.join(", "),
    )
}

/// A text as Cap'n Proto's schema language writes it.
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
    use super::{Wrangler, quoted, text};
    use crate::project;
    use std::path::Path;

    #[test]
    fn a_text_keeps_its_quotes_and_lines() {
        assert_eq!(quoted("a\"b\\c\nd"), r#""a\"b\\c\nd""#);
    }

    #[test]
    fn every_durable_object_of_the_project_is_bound_and_stored() {
        let file = std::fs::read_to_string(project::root().join("wrangler.toml")).unwrap();
        let wrangler: Wrangler = toml::from_str(&file).unwrap();
        assert!(!wrangler.durable_objects.bindings.is_empty());
        let settings = [("A".to_owned(), "{\"b\":1}".to_owned())];
        let text = text(
            &wrangler,
            &settings,
            Path::new("/s"),
            "127.0.0.1:1".parse().unwrap(),
        );
        assert!(text.contains(r#"(name = "A", text = "{\"b\":1}")"#), "{text}");
        for binding in &wrangler.durable_objects.bindings {
            assert_eq!(text.matches(&quoted(&binding.class_name)).count(), 3, "{text}");
        }
    }
}
