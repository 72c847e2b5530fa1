//! The rules for Cargo.toml files.

/// The dependencies of a manifest: the table that each stands in, and its name.
fn dependencies(manifest: &str) -> Vec<(&str, &str)> {
    let mut table = "";
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_end_matches(']');
            // `[dependencies.name]` is a dependency as well.
            if let Some((parent, name)) = table.rsplit_once("dependencies.") {
                found.push((parent, name));
            }
        } else if table.ends_with("dependencies")
            && let Some((name, _)) = line.split_once('=')
            && !line.starts_with('#')
        {
            found.push((table, name.trim().trim_end_matches(".workspace")));
        }
    }
    found
}

/// Whether the manifest names a dependency anywhere.
pub(crate) fn depends_on(manifest: &str, name: &str) -> bool {
    dependencies(manifest).iter().any(|(_, known)| *known == name)
        || manifest.contains(&format!("package = \"{name}\""))
}

/// The tables that a dependency stands in.
pub(crate) fn tables_of<'m>(manifest: &'m str, name: &str) -> Vec<&'m str> {
    let all = dependencies(manifest).into_iter();
    all.filter(|(_, known)| *known == name)
        .map(|(table, _)| table)
        .collect()
}

#[test]
fn a_dependency_is_found_in_all_ways_of_writing_it() {
    for manifest in [
        "[dependencies]\na = \"1\"\n",
        "[dev-dependencies]\nb = \"1\"\na = { path = \"..\" }\n",
        "[target.'cfg(unix)'.dependencies]\na.workspace = true\n",
        "[dependencies.a]\nversion = \"1\"\n",
        "[dependencies]\nb = { package = \"a\", version = \"1\" }\n",
    ] {
        assert!(depends_on(manifest, "a"), "{manifest}");
    }
    for manifest in [
        "[package]\na = \"1\"\n",
        "[dependencies]\n# a = \"1\"\nab = \"1\"\n",
    ] {
        assert!(!depends_on(manifest, "a"), "{manifest}");
    }
    assert_eq!(
        tables_of("[x.dependencies]\na = \"1\"\n", "a"),
        ["x.dependencies"]
    );
}
