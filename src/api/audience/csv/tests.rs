use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::fixture;

/// The records of a table that comes in these pieces: line, and device or faults.
fn read_pieces(pieces: &[&[u8]]) -> Result<Vec<(u32, String)>, Problem> {
    let config = fixture::config();
    let app = &config.apps[0];
    let (mut table, mut found) = (Table::default(), Vec::new());
    let mut take = |record: Record| {
        let told = match record.device {
            Ok(device) => serde_json::to_string(&device).unwrap(),
            Err(faults) => faults.to_string(),
        };
        found.push((record.line, told));
    };
    for piece in pieces {
        table.feed(piece, app, &mut take)?;
    }
    table.finish(app, &mut take)?;
    Ok(found)
}

fn read(text: &str) -> Vec<(u32, String)> {
    read_pieces(&[text.as_bytes()]).unwrap()
}

fn refused(text: &str) -> String {
    read_pieces(&[text.as_bytes()]).unwrap_err().detail().to_owned()
}

#[test]
fn a_row_is_a_device_and_an_empty_cell_is_nothing() {
    let text = "\u{feff}token,ref,locale,time_zone,tags,registered_at,app,environment,attributes.name,attributes.score\r\n\
                ABCD,user-1,de_AT,Europe/Vienna, vip ; beta;,1795420800,shop,production,\"Ada, \"\"Countess\"\"\nof Lovelace\",1.50\r\n\
                abcd,,,,,2026-11-23T08:00:00Z,,,,\r\n";
    assert_eq!(
        read(text),
        [
            (2, r#"{"token":"abcd","ref":"user-1","locale":"de-AT","time_zone":"Europe/Vienna","tags":["vip","beta"],"attributes":{"name":"Ada, \"Countess\"\nof Lovelace","score":1.50},"registered_at":1795420800000}"#.to_owned()),
            (4, r#"{"token":"abcd","registered_at":1795420800000}"#.to_owned()),
        ]
    );
}

#[test]
fn a_cell_of_an_attribute_is_a_number_or_a_boolean_if_it_looks_like_one() {
    for (cell, value) in [
        ("7", json!(7)),
        ("-0.5", json!(-0.5)),
        ("true", json!(true)),
        ("false", json!(false)),
        ("True", json!("True")),
        ("007", json!("007")),
        ("+49", json!("+49")),
        ("1e999", json!("1e999")),
        ("null", json!("null")),
        (" 7", json!(" 7")),
    ] {
        let rows = read(&format!("token,attributes.a\nabcd,{cell}\n"));
        assert_eq!(
            rows[0].1,
            json!({"token": "abcd", "attributes": {"a": value}}).to_string()
        );
    }
}

#[test]
fn a_bad_row_is_told_with_its_line_and_blank_ones_are_passed() {
    let text = "token,ref\n\n\nabcd,a\n,b\n,\nxyz,c\nabcd\nabcd,d,e\n\"\",f";
    let told: Vec<String> = read(text)
        .into_iter()
        .map(|(line, told)| format!("{line} {told}"))
        .collect();
    assert_eq!(
        told,
        [
            r#"4 {"token":"abcd","ref":"a"}"#,
            "5 /token: is required",
            "7 /token: has a character at position 0 that is not a hex digit",
            "8 : has 1 cells, and the header has 2",
            "9 : has 3 cells, and the header has 2",
            "10 /token: is required",
        ]
    );
    let bytes: &[u8] = b"token,ref\nabcd,\xff\n";
    assert_eq!(read_pieces(&[bytes]).unwrap()[0].1, "/ref: is not UTF-8");
}

#[test]
fn a_header_with_faults_ends_the_intake() {
    assert_eq!(
        refused("tokens,ref\n"),
        "line 1: /tokens: is not a known field; did you mean `token`?; and 1 more"
    );
    assert_eq!(refused("ref"), "line 1: /token: is required");
    assert_eq!(refused("token,ref,token\n"), "line 1: /token: stands there twice");
    assert_eq!(
        refused("token,attributes.\n"),
        "line 1: /attributes.: has no name"
    );
    assert!(refused("token;ref\n").contains("is not a known field"));
    let wide = |attributes: usize| -> String {
        let names: Vec<String> = (0..attributes)
            .map(|number| format!(",attributes.a{number}"))
            .collect();
        format!("token{}\n", names.concat())
    };
    assert_eq!(read(&wide(64)), []);
    assert_eq!(
        refused(&wide(65)),
        "line 1: : is 65 attributes long; the limit is 64"
    );
    assert_eq!(
        refused(&wide(200)),
        "line 1: : is 201 cells long; the limit is 128"
    );
    assert_eq!((read(""), read("\n")), (vec![], vec![]));
}

#[test]
fn the_limit_of_a_row_is_exact_and_what_is_longer_is_not_kept() {
    // Sixteen cells of a kilobyte each.
    let names: Vec<String> = (0..17).map(|number| format!(",attributes.a{number}")).collect();
    let header = format!("token{}\n", names.concat());
    let row = |rest: usize| {
        format!(
            "abcd{},{}\n",
            format!(",{}", "x".repeat(1023)).repeat(16),
            "y".repeat(rest)
        )
    };
    let at_limit = MAX_LINE - 4 - 16 * 1023;
    assert!(
        read(&format!("{header}{}", row(at_limit)))[0]
            .1
            .starts_with("{\"token\"")
    );
    let over = format!("{header}{}{}", row(at_limit + 1), row(at_limit));
    let told = read(&over);
    assert_eq!(
        told[0].1,
        format!(": is {} bytes long; the limit is {MAX_LINE}", MAX_LINE + 1)
    );
    assert!(told[1].1.starts_with("{\"token\""));
    let config = fixture::config();
    let mut table = Table::default();
    table.feed(b"token\n\"", &config.apps[0], &mut |_| {}).unwrap();
    for _ in 0..100 {
        table.feed(&[b'a'; 10_000], &config.apps[0], &mut |_| {}).unwrap();
    }
    assert!(table.cells.len() <= MAX_LINE + 1);
    let mut told = Vec::new();
    table
        .finish(&config.apps[0], &mut |record| {
            told.push((record.line, record.size))
        })
        .unwrap();
    assert_eq!(told, [(2, 1_000_000)]);
}

proptest! {
    #[test]
    fn the_pieces_do_not_matter(
        body in "(ab|[,\"\r\n a;])*", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)
    ) {
        let body = format!("token,ref,attributes.a\n{body}");
        let body = body.as_bytes();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        places.extend([0, body.len()]);
        places.sort_unstable();
        let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
        prop_assert_eq!(read_pieces(&pieces).unwrap(), read_pieces(&[body]).unwrap());
    }

    #[test]
    fn reading_never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_pieces(&[&body]);
        let _ = read_pieces(&[b"token,tags,attributes.a\n", &body]);
    }
}
