use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<String, BadWebhookUrl> {
    WebhookUrl::parse(text, false).map(|url| url.as_str().to_owned())
}

fn host(host: &str) -> Result<String, BadWebhookUrl> {
    parse(&format!("https://{host}/hook"))
}

#[test]
fn an_address_is_kept_as_the_parser_spells_it() {
    for (text, kept) in [
        ("https://hooks.example.com", "https://hooks.example.com/"),
        (
            "HTTPS://Hooks.Example.com:443/a?b=c",
            "https://hooks.example.com/a?b=c",
        ),
        (
            "https://xn--bcher-kva.example/é",
            "https://xn--bcher-kva.example/%C3%A9",
        ),
        ("https://example.com.:8443/", "https://example.com.:8443/"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://0x08080808/", "https://8.8.8.8/"),
        (
            "https://[2606:4700:4700:0::1111]/",
            "https://[2606:4700:4700::1111]/",
        ),
    ] {
        assert_eq!(parse(text).as_deref(), Ok(kept), "{text}");
    }
}

#[test]
fn only_https_is_taken() {
    for text in [
        "http://example.com/",
        "ftp://example.com/",
        "ws://example.com/",
        "file:///etc/passwd",
        "data:text/plain,x",
        "javascript:alert(1)",
        "blob:https://example.com/1",
    ] {
        assert_eq!(parse(text), Err(BadWebhookUrl::Scheme), "{text}");
    }
    for text in [
        "",
        "example.com",
        "//example.com",
        "https://",
        "https://exa mple.com/",
    ] {
        assert!(matches!(parse(text), Err(BadWebhookUrl::NotUrl(_))), "{text}");
    }
}

#[test]
fn what_is_not_sent_or_is_secret_has_no_place_in_it() {
    for text in [
        "https://u@example.com/",
        "https://u:p@example.com/",
        "https://:p@example.com/",
    ] {
        assert_eq!(parse(text), Err(BadWebhookUrl::Credentials), "{text}");
    }
    for text in ["https://example.com/#", "https://example.com/a?b#c"] {
        assert_eq!(parse(text), Err(BadWebhookUrl::Fragment), "{text}");
    }
}

#[test]
fn a_name_is_one_that_others_can_look_up() {
    for name in ["backend", "backend.", "a..b", ".example.com", "com"] {
        assert_eq!(host(name), Err(BadWebhookUrl::Name), "{name}");
    }
    for name in [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "l%6fcalhost",
        "a.localhost",
        "printer.local",
        "db.internal",
        "metadata.google.internal",
        "db.INTERNAL.",
    ] {
        assert_eq!(host(name), Err(BadWebhookUrl::NotPublic), "{name}");
    }
    for name in ["localhost.example.com", "internal.example.com", "mylocal.example"] {
        assert!(host(name).is_ok(), "{name}");
    }
}

#[test]
fn an_ipv4_address_is_public_up_to_the_edges_of_the_networks_that_are_not() {
    // The first and the last address of each network, and their neighbours outside, if they are public.
    let edges = [
        (None, "0.0.0.0", "0.255.255.255", Some("1.0.0.0")),
        (
            Some("9.255.255.255"),
            "10.0.0.0",
            "10.255.255.255",
            Some("11.0.0.0"),
        ),
        (
            Some("100.63.255.255"),
            "100.64.0.0",
            "100.127.255.255",
            Some("100.128.0.0"),
        ),
        (
            Some("126.255.255.255"),
            "127.0.0.0",
            "127.255.255.255",
            Some("128.0.0.0"),
        ),
        (
            Some("169.253.255.255"),
            "169.254.0.0",
            "169.254.255.255",
            Some("169.255.0.0"),
        ),
        (
            Some("172.15.255.255"),
            "172.16.0.0",
            "172.31.255.255",
            Some("172.32.0.0"),
        ),
        (
            Some("191.255.255.255"),
            "192.0.0.0",
            "192.0.0.255",
            Some("192.0.1.0"),
        ),
        (Some("192.0.1.255"), "192.0.2.0", "192.0.2.255", Some("192.0.3.0")),
        (
            Some("192.88.98.255"),
            "192.88.99.0",
            "192.88.99.255",
            Some("192.88.100.0"),
        ),
        (
            Some("192.167.255.255"),
            "192.168.0.0",
            "192.168.255.255",
            Some("192.169.0.0"),
        ),
        (
            Some("198.17.255.255"),
            "198.18.0.0",
            "198.19.255.255",
            Some("198.20.0.0"),
        ),
        (
            Some("198.51.99.255"),
            "198.51.100.0",
            "198.51.100.255",
            Some("198.51.101.0"),
        ),
        (
            Some("203.0.112.255"),
            "203.0.113.0",
            "203.0.113.255",
            Some("203.0.114.0"),
        ),
        (Some("223.255.255.255"), "224.0.0.0", "255.255.255.255", None),
    ];
    for (before, first, last, after) in edges {
        for address in [first, last] {
            assert_eq!(host(address), Err(BadWebhookUrl::NotPublic), "{address}");
        }
        for address in [before, after].into_iter().flatten() {
            assert!(host(address).is_ok(), "{address}");
        }
    }
}

#[test]
fn a_host_is_written_in_ascii() {
    for name in ["bücher.example", "ｌocalhost", "１２７.0.0.1", "127。0。0。1"] {
        assert!(matches!(host(name), Err(BadWebhookUrl::NotUrl(_))), "{name}");
    }
}

#[test]
fn an_ipv4_address_is_judged_in_any_spelling() {
    for address in [
        "2130706433",
        "0x7f000001",
        "0X7F.1",
        "017700000001",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "127.0.0.1.",
        "0",
        "%31%32%37.0.0.1",
        "0xa9fea9fe",
        "169.254.43518",
        "3232235777",
    ] {
        assert_eq!(host(address), Err(BadWebhookUrl::NotPublic), "{address}");
    }
}

#[test]
fn an_ipv6_address_is_a_global_one_that_hides_no_other() {
    for address in [
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "::ffff:8.8.8.8",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "100::1",
        "1fff:ffff::1",
        "2001::1",
        "2001:1ff:ffff::1",
        "2001:db8::1",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "3fff::1",
        "3fff:fff:ffff::1",
        "4000::",
        "5f00::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert_eq!(
            host(&format!("[{address}]")),
            Err(BadWebhookUrl::NotPublic),
            "{address}"
        );
    }
    for address in [
        "2000::1",
        "2001:200::1",
        "2001:db7:ffff::1",
        "2001:db9::1",
        "2003::1",
        "2a00:1450:4001::1",
        "3ffe:ffff::1",
        "3fff:1000::1",
    ] {
        assert!(host(&format!("[{address}]")).is_ok(), "{address}");
    }
}

#[test]
fn a_port_is_that_of_https_or_a_users() {
    for (port, good) in [
        ("", true),
        (":", true),
        (":443", true),
        (":1024", true),
        (":65535", true),
        (":0", false),
        (":22", false),
        (":80", false),
        (":444", false),
        (":1023", false),
    ] {
        let parsed = host(&format!("example.com{port}"));
        assert_eq!(parsed.is_ok(), good, "{port}");
        assert!(good || parsed == Err(BadWebhookUrl::Port), "{port}");
    }
}

#[test]
fn the_limit_of_the_length_is_exact_also_for_what_escapes_add() {
    let start = "https://example.com/";
    let text = format!("{start}{}", "a".repeat(MAX_LEN - start.len()));
    assert!(parse(&text).is_ok());
    assert_eq!(
        parse(&format!("{text}a")),
        Err(BadWebhookUrl::TooLong { len: MAX_LEN + 1 })
    );
    let escaped = format!("{start}{}", "é".repeat(400));
    assert_eq!(
        parse(&escaped),
        Err(BadWebhookUrl::TooLong {
            len: start.len() + 2400
        })
    );
}

#[test]
fn a_local_run_may_also_name_this_machine() {
    for text in [
        "http://localhost:9000/hook",
        "https://localhost/",
        "http://127.0.0.1:80/",
        "http://127.9.9.9/",
        "http://[::1]:1/",
        "https://example.com/",
    ] {
        assert!(WebhookUrl::parse(text, true).is_ok(), "{text}");
    }
    for (text, error) in [
        ("http://example.com/", BadWebhookUrl::Scheme),
        ("ftp://localhost/", BadWebhookUrl::Scheme),
        ("http://10.0.0.1/", BadWebhookUrl::Scheme),
        ("https://10.0.0.1/", BadWebhookUrl::NotPublic),
        ("http://u@localhost/", BadWebhookUrl::Credentials),
        ("https://a.localhost/", BadWebhookUrl::NotPublic),
    ] {
        assert_eq!(WebhookUrl::parse(text, true), Err(error), "{text}");
    }
}

#[test]
fn debug_shows_the_origin_alone() {
    let url = WebhookUrl::parse("https://example.com:8443/secret?key=1", false).unwrap();
    assert_eq!(format!("{url:?}"), "WebhookUrl(https://example.com:8443/…)");
}

proptest! {
    #[test]
    fn what_is_kept_reads_as_itself(text in "(https?:)?//[a-z0-9.:@%\\[\\]#/é]{0,40}|.{0,80}", local: bool) {
        if let Ok(url) = WebhookUrl::parse(&text, local) {
            prop_assert_eq!(WebhookUrl::parse(url.as_str(), local), Ok(url));
        }
    }

    #[test]
    fn no_spelling_of_an_inner_ipv4_address_passes(rest: u32, network in 0..INNER_V4.len()) {
        let (base, bits) = INNER_V4[network];
        let address = base.to_bits() | (rest & (u32::MAX >> bits));
        let [a, b, c, d] = address.to_be_bytes();
        let last = address & 0x00ff_ffff;
        for text in [
            format!("{a}.{b}.{c}.{d}"),
            format!("{address}"),
            format!("{address:#x}"),
            format!("0{address:o}"),
            format!("{a:#x}.0{b:o}.{c}.{d}"),
            format!("{a}.{last}"),
            format!("[::ffff:{a}.{b}.{c}.{d}]"),
            format!("[::{a}.{b}.{c}.{d}]"),
            format!("[64:ff9b::{a}.{b}.{c}.{d}]"),
            format!("[2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1]"),
        ] {
            prop_assert_eq!(host(&text), Err(BadWebhookUrl::NotPublic), "{}", text);
        }
    }
}
