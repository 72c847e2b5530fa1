use super::*;

const FILE_TEXT: &str = "url = \"https://file.example\"\nkey = \"file-key\"\n";

/// Creates a home with a config file that only its owner can read.
fn home(text: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".config").join(FILE);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    set_mode(&file, 0o600);
    home
}

fn set_mode(file: &Path, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }
    #[cfg(not(unix))]
    let _ = (file, mode);
}

fn find(flags: &Flags, variables: &[(&str, &str)], home: Option<&Path>) -> Result<Settings, Failure> {
    let variable = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Settings::find(flags, variable, home.map(Path::to_owned))
}

fn flags(url: Option<&str>, key: Option<&str>) -> Flags {
    Flags {
        url: url.map(str::to_owned),
        key: key.map(str::to_owned),
        config: None,
    }
}

fn told(result: Result<Settings, Failure>) -> (String, String) {
    let settings = result.unwrap();
    let key = settings.key.authorization().to_str().unwrap().to_owned();
    (settings.url, key)
}

fn pair(url: &str, key: &str) -> (String, String) {
    (format!("https://{url}.example"), format!("Bearer {key}-key"))
}

const VARIABLES: [(&str, &str); 2] = [(URL, "https://environment.example"), (KEY, "environment-key")];

#[test]
fn flags_come_before_the_environment_and_that_before_the_file() {
    let home = home(FILE_TEXT);
    let home = Some(home.path());
    let none = flags(None, None);
    assert_eq!(told(find(&none, &[], home)), pair("file", "file"));
    assert_eq!(
        told(find(&none, &VARIABLES, home)),
        pair("environment", "environment")
    );
    let both = flags(Some("https://flag.example/"), Some("flag-key"));
    assert_eq!(told(find(&both, &VARIABLES, home)), pair("flag", "flag"));
}

#[test]
fn url_and_key_are_looked_for_each_by_itself() {
    let home = home(FILE_TEXT);
    let url = flags(Some("https://flag.example"), None);
    assert_eq!(
        told(find(&url, &[VARIABLES[1]], Some(home.path()))),
        pair("flag", "environment")
    );
    assert_eq!(told(find(&url, &[], Some(home.path()))), pair("flag", "file"));
}

#[test]
fn a_variable_that_is_empty_is_not_set() {
    let home = home(FILE_TEXT);
    let empty = [(URL, ""), (KEY, " "), ("XDG_CONFIG_HOME", "")];
    assert_eq!(
        told(find(&flags(None, None), &empty, Some(home.path()))),
        pair("file", "file")
    );
}

#[test]
fn the_folder_of_config_files_can_be_moved() {
    let home = home(FILE_TEXT);
    let moved = home.path().join(".config");
    let variables = [("XDG_CONFIG_HOME", moved.to_str().unwrap())];
    assert_eq!(
        told(find(&flags(None, None), &variables, None)),
        pair("file", "file")
    );
}

#[test]
fn what_is_missing_is_named_with_all_its_sources() {
    let home = tempfile::tempdir().unwrap();
    let error = find(&flags(None, None), &[], Some(home.path()))
        .unwrap_err()
        .to_string();
    for source in ["--url", "APNS_EDGE_URL", "`url = \"…\"`", "apns-edge/config.toml"] {
        assert!(error.contains(source), "{error}");
    }
    let url = flags(Some("https://flag.example"), None);
    let error = find(&url, &[], Some(home.path())).unwrap_err().to_string();
    for source in ["--key", "APNS_EDGE_KEY", "`key = \"…\"`", "apns-edge/config.toml"] {
        assert!(error.contains(source), "{error}");
    }
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let named = Flags {
        config: Some(PathBuf::from("/nowhere/config.toml")),
        ..flags(Some("https://flag.example"), Some("key"))
    };
    let error = find(&named, &[], None).unwrap_err();
    assert!(matches!(error, Failure::File { .. }), "{error}");
}

#[test]
fn a_fault_in_the_file_is_told_without_what_stands_there() {
    for (text, expected) in [
        ("url = \"https://x.example\"\nkey = s3cret\n", "line 2"),
        ("key = 53\n", "`key` must be a string"),
        ("key = \"s3cret\"\nkey = \"s3cret\"\n", "line 2"),
        ("token = \"s3cret\"\n", "`token` is unknown"),
    ] {
        let home = home(text);
        let error = find(&flags(None, None), &[], Some(home.path()))
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("s3cret") && !error.contains("53"), "{error}");
    }
}

#[test]
fn a_key_is_never_shown_whatever_is_wrong_with_it() {
    for key in ["s3cret\nkey", "s3cret key", "s3crét", ""] {
        let flags = flags(Some("https://x.example"), Some(key));
        let error = find(&flags, &[], None).unwrap_err().to_string();
        assert!(
            error.contains("visible ASCII") && !error.contains("s3cr"),
            "{error}"
        );
    }
    let settings = find(&flags(Some("https://x.example"), Some("s3cret")), &[], None).unwrap();
    assert!(!format!("{settings:?}").contains("s3cret"));
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_warned_of() {
    let home = home(FILE_TEXT);
    let file = home.path().join(".config").join(FILE);
    let warnings = |mode| {
        set_mode(&file, mode);
        find(&flags(None, None), &[], Some(home.path())).unwrap().warnings
    };
    assert!(warnings(0o600).is_empty());
    assert!(warnings(0o640)[0].contains("chmod 600"));
    assert!(warnings(0o604)[0].contains("chmod 600"));
    fs::write(&file, "url = \"https://file.example\"").unwrap();
    let url_alone = find(&flags(None, Some("key")), &[], Some(home.path())).unwrap();
    assert!(url_alone.warnings.is_empty());
}

#[test]
fn a_url_leads_to_a_deployment_and_to_nothing_else() {
    for (text, expected) in [
        ("https://x.example", Ok(("https://x.example".to_owned(), false))),
        (
            "https://x.example/push/",
            Ok(("https://x.example/push".to_owned(), false)),
        ),
        (
            "http://localhost:8787",
            Ok(("http://localhost:8787".to_owned(), false)),
        ),
        (
            "http://127.0.0.1:8787",
            Ok(("http://127.0.0.1:8787".to_owned(), false)),
        ),
        ("http://[::1]:8787", Ok(("http://[::1]:8787".to_owned(), false))),
        ("http://x.example", Ok(("http://x.example".to_owned(), true))),
        ("x.example", Err(())),
        ("ftp://x.example", Err(())),
        ("https://user:s3cret@x.example", Err(())),
        ("https://x.example/?a=b", Err(())),
        ("https://x example", Err(())),
    ] {
        let found = origin(text).map_err(|error| assert!(!error.to_string().contains("s3cret")));
        assert_eq!(found, expected, "{text}");
    }
}
