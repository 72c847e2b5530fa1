//! How header fields are encoded: which ones a server's table stores, and which ones never.

use apns_h2::Options;

use crate::peer::{DATA, HEADERS, pair};
use crate::support::{local, status};

/// How a field is encoded (RFC 7541 section 6). A name from a table is given by its index.
#[derive(Debug, PartialEq, Eq)]
enum Field {
    /// Name and value from a table: only an index.
    Indexed,
    /// A literal that is indexed.
    Remembered,
    /// A literal that is not indexed.
    Literal(usize),
    /// A literal that is never indexed.
    Never(usize),
}

/// `:path` and `authorization` in the static table; 0 for a literal name.
const PATH: [usize; 2] = [4, 5];
const AUTHORIZATION: usize = 23;
const NAMED: usize = 0;

/// Reads an integer with a prefix of `bits` bits (RFC 7541 section 5.1).
fn number(block: &mut &[u8], bits: u32) -> usize {
    let most = (1_usize << bits) - 1;
    let mut number = usize::from(block[0]) & most;
    *block = &block[1..];
    if number < most {
        return number;
    }
    for shift in (0..).step_by(7) {
        let byte = block[0];
        *block = &block[1..];
        number += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

fn skip_text(block: &mut &[u8]) {
    let len = number(block, 7);
    *block = &block[len..];
}

fn fields(mut block: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    while let Some(first) = block.first() {
        let (bits, kind): (u32, fn(usize) -> Field) = match first {
            0x80.. => (7, |_| Field::Indexed),
            0x40.. => (6, |_| Field::Remembered),
            0x20.. => panic!("a table size update"),
            0x10.. => (4, Field::Never),
            _ => (4, Field::Literal),
        };
        let name = number(&mut block, bits);
        if bits < 7 {
            if name == NAMED {
                skip_text(&mut block);
            }
            skip_text(&mut block);
        }
        fields.push(kind(name));
    }
    fields
}

#[tokio::test(start_paused = true)]
async fn from_the_second_push_on_only_its_own_fields_and_the_token_are_spelled_out() {
    local(async {
        let (mut peer, client) = pair(1, Options::default()).await;
        for number in 1..4 {
            let request = client.request(number);
            let (outcome, headers) = tokio::join!(client.push(&request), async {
                let headers = peer.next(HEADERS).await;
                peer.next(DATA).await;
                peer.accept(headers.stream).await;
                headers
            });
            assert_eq!(status(&outcome), 200);
            let mut fields = fields(&headers.payload);
            fields.retain(|field| *field != Field::Indexed);
            let [
                Field::Literal(path),
                Field::Never(NAMED),
                Field::Never(AUTHORIZATION),
            ] = fields[..]
            else {
                panic!("{fields:?}")
            };
            assert!(PATH.contains(&path), "{path}");
            assert!(headers.payload.len() < 260, "{}", headers.payload.len());
        }
    })
    .await;
}
